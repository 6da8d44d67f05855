import { expect, test } from 'vitest';
import { tailOf } from './child.ts';
import { classifyAgentEnd } from './local.ts';

test('classifyAgentEnd tells what the agent said, not the end of the stack below it', () => {
  const stderr = [
    'a greeting',
    'fam: Error: no place to load koffi from: /home/www/.cache/fam: noexec',
    '    at loadAddon (/home/www/.cache/fam/agent.cjs:1:2)',
    '    at Object.<anonymous> (/home/www/.cache/fam/agent.cjs:3:4)',
  ].join('\n');
  const end = { code: 24, signal: undefined, startError: undefined, stderr, noise: '' };
  expect(classifyAgentEnd('web1:/www', end)).toMatchObject({
    code: 'AGENT_FAILED',
    message: 'web1:/www: Error: no place to load koffi from: /home/www/.cache/fam: noexec',
  });
});

test('tailOf shows the last lines, and no line without end', () => {
  const noise = ['first', ...Array.from({ length: 5 }, (_, n) => `line ${n}`), 'x'.repeat(60_000)].join('\n');
  const shown = tailOf({ code: 0, signal: undefined, startError: undefined, stderr: '', noise });
  expect(shown).not.toContain('first');
  expect(shown).toContain('line 0');
  expect(shown.length).toBeLessThan(1000);
});

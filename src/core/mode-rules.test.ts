import { expect, test } from 'vitest';
import { applyModeRules, parseModeRules } from './mode-rules.ts';

function chmod(text: string, mode: number, isDirectory = false): string {
  const rules = parseModeRules(text);
  if (rules === undefined) throw new Error(`${text} is not understood`);
  return applyModeRules(rules, mode, isDirectory).toString(8);
}

test('applyModeRules does what rsync --chmod does', () => {
  expect(chmod('D755,F644', 0o600)).toBe('644');
  expect(chmod('D755,F644', 0o700, true)).toBe('755');
  expect(chmod('go=rX', 0o700)).toBe('755');
  expect(chmod('go=rX', 0o600)).toBe('644');
  expect(chmod('go=rX', 0o600, true)).toBe('655');
  expect(chmod('u+w,o-rwx', 0o555)).toBe('750');
  expect(chmod('Dg+s,ug+w', 0o755, true)).toBe('2775');
  expect(chmod('Dg+s,ug+w', 0o755)).toBe('775');
  expect(chmod('a-s', 0o6755)).toBe('755');
  expect(chmod('a=rx', 0o2770, true)).toBe('2555');
  expect(chmod('+t', 0o777, true)).toBe('1777');
});

test('parseModeRules refuses what is no mode', () => {
  for (const text of ['', 'rwx', 'u~w', '888', 'D', 'u+q', '644;755'])
    expect(parseModeRules(text), text).toBeUndefined();
});

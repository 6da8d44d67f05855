import { expect, test } from 'vitest';
import { oneLine } from './one-line.ts';

test('oneLine joins lines and leaves out the label', () => {
  const message = 'web1:/www: cannot reach web1: refused; it printed:\n    ssh: connect\n    ssh: refused\n';
  expect(oneLine(message, 'web1:/www')).toBe(
    'cannot reach web1: refused; it printed: ssh: connect | ssh: refused',
  );
  expect(oneLine('web1:/www is full', 'web1:/www')).toBe('web1:/www is full');
});

import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { requestedPath } from './requested-path.ts';

/** Has the test run in a folder. */
function workIn(folder: string): void {
  const former = process.cwd();
  process.chdir(folder);
  onTestFinished(() => process.chdir(former));
}

describe('requestedPath', () => {
  test.each([
    ['/a//b/./c/', '/a/b/c'],
    ['/a/../b', '/b'],
    ['/..', '/'],
    ['/', '/'],
    ['.', process.cwd()],
    ['x', join(process.cwd(), 'x')],
    ['\u00e9', `${process.cwd()}/\xc3\xa9`],
  ])('%s is %s', (given, path) => {
    expect(requestedPath(given)).toBe(path);
  });

  test('what lies above a symlink lies above what it leads to', () => {
    const root = tempFolder();
    const target = Buffer.from(`${root}/there/\xff`, 'latin1');
    mkdirSync(target, { recursive: true });
    symlinkSync(target, join(root, 'link'));
    expect(requestedPath(`${root}/link/../file`)).toBe(`${root}/there/file`);
    expect(requestedPath(`${root}/link/file`)).toBe(`${root}/link/file`);
    mkdirSync(Buffer.concat([target, Buffer.from('/below')]));
    expect(requestedPath(`${root}/link/below/../..`)).toBe(`${root}/there`);
  });

  test('a working directory that has been deleted is said', () => {
    const gone = tempFolder();
    workIn(gone);
    rmSync(gone, { recursive: true });
    expect(requestedPath('/absolute')).toBe('/absolute');
    expect(() => requestedPath('x')).toThrow('cannot watch x: the working directory has been deleted');
  });
});

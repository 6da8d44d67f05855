import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeFileSystem } from './file-system.ts';
import { MountWatch, pathOf, readMounts } from './mounts.ts';
import { AT_FDCWD, check, close, O_DIRECTORY, O_PATH, openat, poll, Stat, statx } from './sys.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fam-mounts-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

test('readMounts finds the mount that statx names, whatever its path holds', () => {
  const point = join(folder, 'with space\ttab\nline\\octal\\040');
  mkdirSync(point);
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
  try {
    const out = new Stat();
    check(statx(AT_FDCWD, point, out), 'statx');
    const mount = readMounts().find(({ id }) => id === out.mountId);
    expect(mount).toMatchObject({ point, type: 'tmpfs' });
    expect(out.isMountRoot).toBe(true);
  } finally {
    execFileSync('umount', [point]);
  }
});

test('MountWatch polls readable and tells each change once', () => {
  using watch = new MountWatch();
  const ours = () => {
    const changes = watch.changes();
    const isOurs = ({ point }: { point: string }) => point === folder;
    return [changes?.mounted.filter(isOurs).length, changes?.unmounted.filter(isOurs).length];
  };
  expect(ours()).toEqual([undefined, undefined]);
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder]);
  expect(poll([watch.fd], 10_000)).toEqual([0]);
  expect(ours()).toEqual([1, 0]);
  execFileSync('umount', [folder]);
  expect(poll([watch.fd], 10_000)).toEqual([0]);
  expect(ours()).toEqual([0, 1]);
});

test('MountWatch tells of ours that another one with the same number has taken the place', () => {
  const mount = () => execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder]);
  const unmount = () => execFileSync('umount', [folder]);
  const points = (mounts: readonly { point: string }[] | undefined) => mounts?.map(({ point }) => point);
  mount();
  try {
    using watch = new MountWatch(({ point }) => point === folder);
    unmount();
    mount();
    const changes = watch.changes();
    expect(points(changes?.mounted)).toContain(folder);
    expect(points(changes?.unmounted)).toContain(folder);
  } finally {
    unmount();
  }
});

test('MountWatch tells of all that are ours where the kernel says that something has changed, and not what', () => {
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder]);
  try {
    using watch = new MountWatch(
      ({ point }) => point === folder,
      () => undefined,
    );
    // Signalled like any change; only the options show it.
    execFileSync('mount', ['-o', 'remount,ro', folder]);
    expect(watch.changes()?.mounted).toMatchObject([{ point: folder }]);
  } finally {
    execFileSync('umount', [folder]);
  }
});

test('pathOf gives bytes, describeFileSystem the type', () => {
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder]);
  try {
    const raw = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0x41])]);
    mkdirSync(raw);
    const fd = check(openat(AT_FDCWD, `${folder}/\xffA`, O_PATH | O_DIRECTORY), 'open');
    expect(pathOf(fd)).toBe(`${folder}/\xffA`);
    expect(describeFileSystem(fd)).toMatchObject({ type: 'tmpfs' });
    close(fd);
  } finally {
    execFileSync('umount', [folder]);
  }
});

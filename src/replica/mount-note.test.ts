import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { openHome } from './home.ts';
import { noteMount, noteOf } from './mount-note.ts';

/** A file system that can be mounted on `point` again and again, as a disk. */
function makeDisk() {
  const folder = tempFolder('mount-note');
  const [disk, point] = [join(folder, 'disk'), join(folder, 'point')];
  const note = noteOf(point);
  for (const path of [disk, point]) mkdirSync(path);
  execFileSync('mount', ['-t', 'tmpfs', 'fam-test', disk]);
  const unmount = (): void => void execFileSync('umount', ['-l', point]);
  onTestFinished(() => {
    while (readdirSync(point).length > 0 && readFileSync('/proc/mounts', 'utf8').includes(` ${point} `))
      unmount();
    execFileSync('umount', ['-l', disk]);
  });
  return { folder, disk, point, note, unmount, mount: () => execFileSync('mount', ['--bind', disk, point]) };
}

/** What an agent does. */
function serve(root: string): void {
  const home = openHome(root);
  noteMount(home.rootFd, home.root);
  home.close();
}

describe.skipIf(process.getuid?.() !== 0)('a replica whose file system is not mounted', () => {
  test('below a mount point: refused, nothing made, and good again when it is mounted', () => {
    const { point, note, mount, unmount } = makeDisk();
    const root = join(point, 'www');
    mount();
    serve(root);
    expect(readFileSync(note, 'utf8')).toContain(root);
    unmount();
    const refusal = expect.objectContaining({ code: 'DESTINATION_UNWRITABLE', retryable: true });
    expect(() => openHome(root)).toThrow(refusal);
    expect(() => openHome(root)).toThrow(new RegExp(`no file system is mounted on ${point}, above ${root}`));
    expect(readdirSync(point)).toEqual([]);
    mkdirSync(root);
    expect(() => openHome(root), 'an empty folder of that name is below the mount point').toThrow(refusal);
    expect(() => openHome(join(point, 'another')), 'nor is another replica made there').toThrow(refusal);
    expect(readdirSync(point)).toEqual(['www']);
    mount();
    serve(root);
    unmount();
    rmSync(note);
    serve(root);
    expect(existsSync(note), 'it is meant to be on the file system that is there').toBe(false);
    serve(root);
  });

  test('a root that is the mount point, its own folder inside it: refused without one beside it', () => {
    const { folder, disk, point, mount, unmount } = makeDisk();
    mount();
    serve(point);
    expect(readdirSync(disk)).toEqual(['.fam']);
    unmount();
    expect(() => openHome(point)).toThrow(`no file system is mounted on ${point},`);
    expect(readdirSync(point)).toEqual([]);
    expect(readdirSync(folder).sort()).toEqual(['disk', 'point']);
    execFileSync('mount', ['-t', 'tmpfs', 'another-disk', point]);
    serve(point);
    unmount();
  });

  test('the mount point has gone as well', () => {
    const { point, mount, unmount } = makeDisk();
    mount();
    serve(point);
    unmount();
    rmSync(point, { recursive: true });
    expect(() => openHome(point)).toThrow(`no file system is mounted on ${point},`);
    expect(existsSync(point)).toBe(false);
    mkdirSync(point);
  });

  test('what a hardened service sees of its own folders is no mount that could be missing', () => {
    const { disk, point, note, mount, unmount } = makeDisk();
    const root = join(point, 'www');
    mkdirSync(join(disk, 'www'));
    mount();
    execFileSync('mount', ['--bind', root, root]);
    serve(root);
    execFileSync('umount', ['-l', root]);
    expect(existsSync(noteOf(root))).toBe(false);
    expect(existsSync(note)).toBe(true);
    serve(root);
    unmount();
    mkdirSync(root);
    execFileSync('mount', ['--bind', root, root]);
    onTestFinished(() => void execFileSync('umount', ['-l', root]));
    expect(() => openHome(root)).toThrow(`no file system is mounted on ${point},`);
  });

  test('nothing is left on the file system of the replica where the user has its state there', () => {
    const { disk, point, mount, unmount } = makeDisk();
    mount();
    const home = openHome(point);
    const user = vi.spyOn(process, 'geteuid').mockReturnValue(65_534);
    vi.stubEnv('XDG_STATE_HOME', join(point, 'home', 'state'));
    onTestFinished(() => {
      user.mockRestore();
      vi.unstubAllEnvs();
    });
    noteMount(home.rootFd, home.root);
    home.close();
    expect(readdirSync(disk)).toEqual(['.fam']);
    unmount();
  });

  test('a root that is on no file system of its own is not noted', () => {
    const { point, note } = makeDisk();
    serve(point);
    serve(join(point, 'new'));
    expect(existsSync(note)).toBe(false);
  });
});

// Whether the way to a path has changed: its components and the symlinks among them, each watched as a name in its
// directory. For targets of symlinks that are swapped, and for a root that is not there yet.

import type { ByteString } from '../core/name.ts';
import { AT_FDCWD, O_DIRECTORY, O_PATH } from '../kernel/constants.ts';
import { close, openat, readlinkat } from '../kernel/entry-calls.ts';
import { type DirectoryTag, Hint } from '../kernel/event-source.ts';
import { InotifySource } from '../kernel/inotify.ts';
import { shareInstance } from '../kernel/inotify-instance.ts';
import { check, SysError } from '../kernel/sys-error.ts';

/** As the kernel's own limit (path_resolution(7)). */
const maxLinks = 40;

interface WatchedDirectory {
  readonly tag: DirectoryTag;
  readonly path: ByteString;
  users: number;
}

interface Step {
  readonly directory: WatchedDirectory;
  readonly key: string;
}

/** For one thread; `close` is idempotent. */
export class Route implements Disposable {
  readonly #source: InotifySource;
  readonly #directories = new Map<ByteString, WatchedDirectory>();
  readonly #pathsOf = new Map<string, Set<ByteString>>();
  readonly #steps = new Map<ByteString, Step[]>();
  readonly #onUnwatched: (directory: ByteString, errno: number) => void;
  /** Told once. */
  readonly #unwatched = new Set<ByteString>();
  #nextTag: DirectoryTag = 1;

  /**
   * @param onUnwatched a directory on a way that cannot be watched (errno as calls return it): what is swapped in it is not noticed
   * @param onTold `read` has something to tell
   */
  constructor(onUnwatched: (directory: ByteString, errno: number) => void, onTold: () => void) {
    this.#onUnwatched = onUnwatched;
    const fd = check(openat(AT_FDCWD, '/', O_PATH | O_DIRECTORY), 'open', '/');
    try {
      this.#source = new InotifySource(fd, undefined, shareInstance(onTold));
    } finally {
      close(fd);
    }
  }

  get fds(): readonly number[] {
    return this.#source.fds;
  }

  get pendingUntil(): number | undefined {
    return this.#source.pendingUntil;
  }

  /**
   * Watches the way to an absolute path as it is now; call it again after a change, and look at the path after the call.
   * @param wholeWay also the directories before the first symlink
   */
  follow(path: ByteString, wholeWay: boolean): void {
    const steps: Step[] = [];
    const left = path.split('/').filter((part) => part !== '' && part !== '.');
    let at = '';
    let links = 0;
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      if (name === '..') {
        at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
        continue;
      }
      const target = readlinkat(AT_FDCWD, `${at}/${name}`);
      const isLink = typeof target === 'string';
      if (wholeWay || isLink || links > 0) {
        const step = this.#step(at === '' ? '/' : at, name);
        if (step === undefined) break;
        if (step !== 'unwatched') steps.push(step);
      }
      if (!isLink) {
        at = `${at}/${name}`;
        continue;
      }
      if (++links > maxLinks) break;
      if (target.startsWith('/')) at = '';
      left.unshift(...target.split('/').filter((part) => part !== '' && part !== '.'));
    }
    this.unfollow(path);
    this.#steps.set(path, steps);
    for (const { key } of steps) {
      const paths = this.#pathsOf.get(key);
      if (paths === undefined) this.#pathsOf.set(key, new Set([path]));
      else paths.add(path);
    }
  }

  /** undefined: it is not there. */
  #step(directory: ByteString, name: ByteString): Step | 'unwatched' | undefined {
    let watched = this.#directories.get(directory);
    const fd = openat(AT_FDCWD, directory, O_PATH | O_DIRECTORY);
    if (fd < 0) return undefined;
    try {
      watched ??= { tag: this.#nextTag++, path: directory, users: 0 };
      // Again also when it is known: another directory may be there now.
      this.#source.add(fd, watched.tag);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      if (!this.#unwatched.has(directory)) this.#onUnwatched(directory, -error.errno);
      this.#unwatched.add(directory);
      return 'unwatched';
    } finally {
      close(fd);
    }
    this.#directories.set(directory, watched);
    watched.users++;
    return { directory: watched, key: `${watched.tag}/${name}` };
  }

  unfollow(path: ByteString): void {
    for (const { directory, key } of this.#steps.get(path) ?? []) {
      const paths = this.#pathsOf.get(key);
      paths?.delete(path);
      if (paths?.size === 0) this.#pathsOf.delete(key);
      if (--directory.users > 0) continue;
      this.#source.remove(directory.tag);
      this.#directories.delete(directory.path);
    }
    this.#steps.delete(path);
  }

  /** The paths whose way has changed, or may have. */
  read(): ReadonlySet<ByteString> {
    const changed = new Set<ByteString>();
    const all = (): void => {
      for (const path of this.#steps.keys()) changed.add(path);
    };
    const touch = (tag: DirectoryTag, name: ByteString): void => {
      for (const path of this.#pathsOf.get(`${tag}/${name}`) ?? []) changed.add(path);
    };
    for (const event of this.#source.read()) {
      if (event.type === 'name') {
        if ((event.hints & ~(Hint.modified | Hint.directory)) !== 0) touch(event.directory, event.name);
      } else if (event.type === 'rename') {
        touch(event.fromDirectory, event.fromName);
        touch(event.toDirectory, event.toName);
      } else if (event.type !== 'unreported') all();
    }
    return changed;
  }

  close(): void {
    this.#source.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

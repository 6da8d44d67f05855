// Which programs below a path begin to run, and when they end: FAN_OPEN_EXEC with FAN_REPORT_PIDFD (fanotify(7)).

import { FamError } from '../core/errors.ts';
import type { ByteString } from '../core/name.ts';
import {
  AT_FDCWD,
  EAGAIN,
  EINVAL,
  EMFILE,
  ENOSYS,
  EPERM,
  ESRCH,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
} from './constants.ts';
import { close, openat, procPath, readlinkat } from './entry-calls.ts';
import { Epoll } from './epoll.ts';
import { addressOf, syscall2, syscall3, syscall5 } from './ffi.ts';
import { MountWatch } from './mounts.ts';
import { first } from './scratch.ts';
import { check, isStarved, SysError } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

// linux/fanotify.h
const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_UNLIMITED_QUEUE = 0x10;
const FAN_REPORT_PIDFD = 0x80;
/** Linux 6.13: an event for which there is no descriptor carries the errno in its place, and is not dropped. */
const FAN_REPORT_FD_ERROR = 0x2000;
const FAN_MARK_ADD = 0x1;
const FAN_MARK_FILESYSTEM = 0x100;
const FAN_OPEN_EXEC = 0x1000;
const FAN_Q_OVERFLOW = 0x4000;
const infoPidfd = 4;
/** In place of a pidfd: it has ended. The second is what FAN_REPORT_FD_ERROR makes of the first. */
const hasEnded: ReadonlySet<number> = new Set([-1, -ESRCH]);

/** Some 200 events: each comes with two descriptors, which are open until the whole buffer has been looked through. */
const bufferBytes = 8 * 1024;

/** Some were not reported: the queue overflowed, or no descriptor was free. */
export interface ExecutionsLost {
  readonly type: 'lost';
}

export interface Execution {
  readonly type: 'executionStarted' | 'executionStopped';
  /** The program or script, as the kernel shows its path. */
  readonly path: ByteString;
  readonly pid: number;
}

interface Running {
  readonly pid: number;
  readonly pidfd: number;
  /** What it has been seen to execute: a script and its interpreter, or one program after the other. */
  readonly paths: Set<ByteString>;
}

/**
 * Executions of files below a path, on whatever is mounted there. For one thread; `close` is idempotent.
 * A process that replaces its program by another one counts as running both until it ends.
 */
export class Executions implements Disposable {
  /** To poll for reading. */
  readonly fds: readonly number[];
  readonly #group: number;
  readonly #prefix: ByteString;
  readonly #ended = new Epoll();
  readonly #mounts = new MountWatch();
  readonly #byPid = new Map<number, Running>();
  readonly #byPidfd = new Map<number, Running>();
  readonly #buffer = Buffer.from(new ArrayBuffer(bufferBytes));
  readonly #address = addressOf(this.#buffer);
  #closed = false;

  /**
   * Throws a FamError MONITOR_UNAVAILABLE, or a SysError when the path cannot be opened.
   * @param isQueueUnlimited false, for tests: at most fs.fanotify.max_queued_events wait
   */
  constructor(root: ByteString, isQueueUnlimited = true) {
    const queue = isQueueUnlimited ? FAN_UNLIMITED_QUEUE : 0;
    const flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_PIDFD | queue;
    const group = syscall2(nr.fanotifyInit, flags | FAN_REPORT_FD_ERROR, O_RDONLY | O_CLOEXEC);
    this.#group = group === -EINVAL ? syscall2(nr.fanotifyInit, flags, O_RDONLY | O_CLOEXEC) : group;
    this.fds = [this.#group, this.#ended.fd, this.#mounts.fd];
    try {
      check(this.#group, 'fanotify_init');
      const fd = check(openat(AT_FDCWD, root, O_PATH | O_DIRECTORY), 'open', root);
      const real = readlinkat(AT_FDCWD, procPath(fd));
      this.#prefix = typeof real !== 'string' ? root : real;
      const result = this.#mark(fd);
      close(fd);
      check(result, 'fanotify_mark', root);
      for (const { point } of this.#mounts.all) this.#markMount(point);
    } catch (error) {
      this.close();
      throw error instanceof SysError && error.action !== 'open' ? unavailable(error) : error;
    }
  }

  /** 0 or -errno. */
  #mark(fd: number): number {
    first.set('.');
    return syscall5(
      nr.fanotifyMark,
      this.#group,
      FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
      FAN_OPEN_EXEC,
      fd,
      first.address,
    );
  }

  /** A file system that is mounted below the path. One that cannot be marked holds no programs (proc, sysfs), or is gone again. */
  #markMount(point: ByteString): void {
    if (!this.#isBelow(point)) return;
    const fd = openat(AT_FDCWD, point, O_PATH | O_DIRECTORY);
    if (fd < 0) return;
    this.#mark(fd);
    close(fd);
  }

  /** What has happened since; does not block. */
  read(): (Execution | ExecutionsLost)[] {
    const out: (Execution | ExecutionsLost)[] = [];
    for (const { point } of this.#mounts.changes()?.mounted ?? []) this.#markMount(point);
    for (;;) {
      const length = syscall3(nr.read, this.#group, this.#address, bufferBytes);
      if (length === -EAGAIN) break;
      // The kernel has dropped the event for which it had no descriptor, without a word where others came before it.
      if (isStarved(length)) lose(out);
      else {
        const isFull = haveNoneLeft();
        this.#decode(check(length, 'read executions'), out);
        if (isFull) lose(out);
      }
    }
    for (const pidfd of this.#ended.wait(0)) this.#stop(pidfd, out);
    return out;
  }

  /** struct fanotify_event_metadata: u32 length, u8, u8, u16, u64 mask, s32 fd, s32 pid; then struct fanotify_event_info_pidfd. */
  #decode(length: number, out: (Execution | ExecutionsLost)[]): void {
    for (let at = 0; at < length; ) {
      const eventLength = this.#buffer.readUInt32LE(at);
      const mask = this.#buffer.readUInt32LE(at + 8);
      const fd = this.#buffer.readInt32LE(at + 16);
      const pid = this.#buffer.readInt32LE(at + 20);
      let pidfd = -1;
      for (let record = at + 24; record < at + eventLength; record += this.#buffer.readUInt16LE(record + 2)) {
        if (this.#buffer[record] === infoPidfd) pidfd = this.#buffer.readInt32LE(record + 4);
      }
      if ((mask & FAN_Q_OVERFLOW) !== 0 || isStarved(fd)) lose(out);
      if (fd >= 0) {
        const path = readlinkat(AT_FDCWD, procPath(fd));
        close(fd);
        if (typeof path === 'string' && this.#isBelow(path)) this.#start(pid, pidfd, path, out);
        else if (pidfd >= 0) close(pidfd);
      }
      at += eventLength;
    }
  }

  #isBelow(path: ByteString): boolean {
    return this.#prefix === '/' || path.startsWith(`${this.#prefix}/`);
  }

  #start(pid: number, pidfd: number, path: ByteString, out: (Execution | ExecutionsLost)[]): void {
    out.push({ type: 'executionStarted', path, pid });
    const known = this.#byPid.get(pid);
    if (known !== undefined) {
      // RACE: a number that was given out again has another pidfd; its former owner's end is read below, in this same turn.
      known.paths.add(path);
      if (pidfd >= 0) close(pidfd);
    } else if (hasEnded.has(pidfd)) {
      // Before it could be told of.
      out.push({ type: 'executionStopped', path, pid });
    } else if (pidfd < 0) {
      // It runs, and nobody will say when it ends.
      lose(out);
    } else {
      const running = { pid, pidfd, paths: new Set([path]) };
      this.#byPid.set(pid, running);
      this.#byPidfd.set(pidfd, running);
      this.#ended.add(pidfd);
    }
  }

  #stop(pidfd: number, out: (Execution | ExecutionsLost)[]): void {
    const running = this.#byPidfd.get(pidfd);
    if (running === undefined) return;
    this.#ended.remove(pidfd);
    close(pidfd);
    this.#byPidfd.delete(pidfd);
    this.#byPid.delete(running.pid);
    for (const path of running.paths) out.push({ type: 'executionStopped', path, pid: running.pid });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const pidfd of this.#byPidfd.keys()) close(pidfd);
    this.#byPidfd.clear();
    this.#byPid.clear();
    this.#ended.close();
    this.#mounts.close();
    if (this.#group >= 0) close(this.#group);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Asked while the descriptors that came with events are open. */
function haveNoneLeft(): boolean {
  const fd = openat(AT_FDCWD, '/', O_PATH);
  if (fd >= 0) close(fd);
  return isStarved(fd);
}

/** Once for all that is lost in a row. */
function lose(out: (Execution | ExecutionsLost)[]): void {
  if (out.at(-1)?.type !== 'lost') out.push({ type: 'lost' });
}

/** What the kernel meant (fanotify_init(2), fanotify_mark(2)), and what to do about it. */
function unavailable(error: SysError): FamError {
  const why = new Map([
    [EPERM, 'they need CAP_SYS_ADMIN: run as root'],
    [EINVAL, 'Linux 5.15 or later is needed'],
    [ENOSYS, 'this kernel was built without fanotify'],
    [EMFILE, 'all fanotify groups are in use: raise fs.fanotify.max_user_groups'],
  ]).get(error.errno);
  const message = `executions cannot be watched: ${why ?? `${error.action} failed with ${error.code}`}`;
  return new FamError('MONITOR_UNAVAILABLE', message, { cause: error });
}

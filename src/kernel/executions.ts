// Which programs of a file system begin to run, and when they end: FAN_OPEN_EXEC with FAN_REPORT_PIDFD (fanotify(7)).

import type { ByteString } from '../core/name.ts';
import { AT_FDCWD, EAGAIN, O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY } from './constants.ts';
import { close, openat, procPath, readlinkat } from './entry-calls.ts';
import { Epoll } from './epoll.ts';
import { addressOf, syscall2, syscall3, syscall5 } from './ffi.ts';
import { first } from './scratch.ts';
import { check } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

// linux/fanotify.h
const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_REPORT_PIDFD = 0x80;
const FAN_MARK_ADD = 0x1;
const FAN_MARK_FILESYSTEM = 0x100;
const FAN_OPEN_EXEC = 0x1000;
const infoPidfd = 4;

const bufferBytes = 64 * 1024;

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
 * Executions of files of the file system that a path is on, below that path. For one thread; `close` is idempotent.
 * A process that replaces its program by another one counts as running both until it ends.
 */
export class Executions implements Disposable {
  readonly #group: number;
  readonly #prefix: ByteString;
  readonly #ended = new Epoll();
  readonly #byPid = new Map<number, Running>();
  readonly #byPidfd = new Map<number, Running>();
  readonly #buffer = Buffer.from(new ArrayBuffer(bufferBytes));
  readonly #address = addressOf(this.#buffer);
  #closed = false;

  /** Throws a SysError: EPERM without CAP_SYS_ADMIN; EINVAL before Linux 5.15. */
  constructor(root: ByteString) {
    this.#group = check(
      syscall2(nr.fanotifyInit, FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_PIDFD, O_RDONLY | O_CLOEXEC),
      'fanotify_init',
    );
    try {
      const fd = check(openat(AT_FDCWD, root, O_PATH | O_DIRECTORY), 'open', root);
      const real = readlinkat(AT_FDCWD, procPath(fd));
      this.#prefix = typeof real !== 'string' ? root : real;
      first.set('.');
      const mark = FAN_MARK_ADD | FAN_MARK_FILESYSTEM;
      const result = syscall5(nr.fanotifyMark, this.#group, mark, FAN_OPEN_EXEC, fd, first.address);
      close(fd);
      check(result, 'fanotify_mark', root);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get fds(): readonly number[] {
    return [this.#group, this.#ended.fd];
  }

  /** What has happened since; does not block. */
  read(): Execution[] {
    const out: Execution[] = [];
    for (;;) {
      const length = syscall3(nr.read, this.#group, this.#address, bufferBytes);
      if (length === -EAGAIN) break;
      check(length, 'read executions');
      this.#decode(length, out);
    }
    for (const pidfd of this.#ended.wait(0)) this.#stop(pidfd, out);
    return out;
  }

  /** struct fanotify_event_metadata: u32 length, u8, u8, u16, u64 mask, s32 fd, s32 pid; then struct fanotify_event_info_pidfd. */
  #decode(length: number, out: Execution[]): void {
    for (let at = 0; at < length; ) {
      const eventLength = this.#buffer.readUInt32LE(at);
      const fd = this.#buffer.readInt32LE(at + 16);
      const pid = this.#buffer.readInt32LE(at + 20);
      let pidfd = -1;
      for (let record = at + 24; record < at + eventLength; record += this.#buffer.readUInt16LE(record + 2)) {
        if (this.#buffer[record] === infoPidfd) pidfd = this.#buffer.readInt32LE(record + 4);
      }
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

  #start(pid: number, pidfd: number, path: ByteString, out: Execution[]): void {
    out.push({ type: 'executionStarted', path, pid });
    const known = this.#byPid.get(pid);
    if (known !== undefined) {
      // RACE: a number that was given out again has another pidfd; its former owner's end is read below, in this same turn.
      known.paths.add(path);
      if (pidfd >= 0) close(pidfd);
    } else if (pidfd < 0) {
      // FAN_NOPIDFD: it had ended before it could be told of.
      out.push({ type: 'executionStopped', path, pid });
    } else {
      const running = { pid, pidfd, paths: new Set([path]) };
      this.#byPid.set(pid, running);
      this.#byPidfd.set(pidfd, running);
      this.#ended.add(pidfd);
    }
  }

  #stop(pidfd: number, out: Execution[]): void {
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
    close(this.#group);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

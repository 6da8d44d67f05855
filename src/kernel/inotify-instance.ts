// inotify instances (inotify(7)): one of one's own, or a share of the one that this thread has for all who watch little. A user has 128
// of them (fs.inotify.max_user_instances).

import type { ByteString } from '../core/name.ts';
import { EAGAIN, IN_CLOEXEC, IN_MASK_ADD, IN_NONBLOCK } from './constants.ts';
import { close } from './entry-calls.ts';
import { addressOf, syscall1, syscall2, syscall3 } from './ffi.ts';
import { IN_IGNORED, IN_ISDIR, IN_Q_OVERFLOW, IN_UNMOUNT } from './inotify-mask.ts';
import { fionread } from './poll.ts';
import { first } from './scratch.ts';
import { check } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

/** For one thread. `close` is idempotent, and ends all watches. */
export interface InotifyInstance {
  /** Readable when `read` may have something. */
  readonly fd: number;
  /** Events are here that `fd` does not tell of any more. */
  readonly hasWaiting: boolean;
  /** Another listener's part of it, with the same descriptor; undefined: it is for a single one. */
  readonly share: (() => InotifyInstance) | undefined;
  /** inotify_add_watch(2): the watch, or -errno. Events that are older than it may come too. */
  add(path: ByteString, mask: number): number;
  /** Ends a watch. */
  remove(watch: number): void;
  /** Fills `buffer`, which begins at `address`, with whole events, as read(2) does: their length, or -errno. */
  read(buffer: Uint8Array, address: number): number;
  /** How many bytes of events wait. */
  queued(): number;
  close(): void;
}

function addWatch(fd: number, path: ByteString, mask: number): number {
  const bad = first.set(path);
  return bad < 0 ? bad : syscall3(nr.inotifyAddWatch, fd, first.address, mask);
}

/** -errno: EMFILE where all of the user's are in use, or this process has no descriptor left. */
export function inotifyInit(): number {
  return syscall1(nr.inotifyInit1, IN_NONBLOCK | IN_CLOEXEC);
}

/** One for a single listener. Takes `fd` over. */
export class OwnInstance implements InotifyInstance {
  readonly fd: number;
  readonly hasWaiting = false;
  readonly share = undefined;
  #isClosed = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  add(path: ByteString, mask: number): number {
    return addWatch(this.fd, path, mask);
  }

  remove(watch: number): void {
    syscall2(nr.inotifyRmWatch, this.fd, watch);
  }

  read(buffer: Uint8Array, address: number): number {
    return syscall3(nr.read, this.fd, address, buffer.length);
  }

  queued(): number {
    return check(fionread(this.fd), 'FIONREAD');
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    close(this.fd);
  }
}

const bufferBytes = 64 * 1024;
/** What the kernel tells of a watch unasked. */
const always = IN_IGNORED | IN_UNMOUNT;

/** The thread's instance. The kernel has one watch for a directory in it, with the union of what its listeners want. */
class SharedInstance {
  readonly fd: number;
  readonly #shares = new Set<Share>();
  /** Of each watch, who wants what. */
  readonly #wanted = new Map<number, Map<Share, number>>();
  readonly #buffer = Buffer.from(new ArrayBuffer(bufferBytes));
  readonly #words = new Uint32Array(this.#buffer.buffer);
  readonly #address = addressOf(this.#buffer);

  constructor(fd: number) {
    this.fd = fd;
  }

  open(onTold: () => void): Share {
    const share = new Share(this, onTold);
    this.#shares.add(share);
    return share;
  }

  add(share: Share, path: ByteString, mask: number): number {
    const watch = addWatch(this.fd, path, mask | IN_MASK_ADD);
    if (watch < 0) return watch;
    const wanted = this.#wanted.get(watch) ?? new Map<Share, number>();
    this.#wanted.set(watch, wanted);
    wanted.set(share, (mask & IN_MASK_ADD) === 0 ? mask : mask | (wanted.get(share) ?? 0));
    return watch;
  }

  /** What the others do not want of it goes on to be told to nobody. */
  remove(share: Share, watch: number): void {
    const wanted = this.#wanted.get(watch);
    if (wanted?.delete(share) !== true || wanted.size > 0) return;
    this.#wanted.delete(watch);
    syscall2(nr.inotifyRmWatch, this.fd, watch);
  }

  /** Hands out all that the kernel has by now. */
  distribute(): void {
    for (;;) {
      const length = syscall3(nr.read, this.fd, this.#address, bufferBytes);
      if (length === -EAGAIN) return;
      check(length, 'read events');
      for (let at = 0; at < length; ) {
        const word = at >>> 2;
        const end = at + 16 + (this.#words[word + 3] ?? 0);
        this.#handOut(this.#words[word] ?? 0, this.#words[word + 1] ?? 0, this.#buffer.subarray(at, end));
        at = end;
      }
    }
  }

  #handOut(watch: number, mask: number, event: Uint8Array): void {
    if ((mask & IN_Q_OVERFLOW) !== 0) {
      for (const share of this.#shares) share.take(event);
      return;
    }
    for (const [share, wanted] of this.#wanted.get(watch) ?? [])
      if ((mask & (wanted | always) & ~IN_ISDIR) !== 0) share.take(event);
    if ((mask & IN_IGNORED) !== 0) this.#wanted.delete(watch);
  }

  /** The last one that leaves closes it. */
  leave(share: Share, watches: Iterable<number>): void {
    this.#shares.delete(share);
    if (this.#shares.size === 0) {
      if (shared === this) shared = undefined;
      close(this.fd);
    } else for (const watch of watches) this.remove(share, watch);
  }
}

/** One listener's part of it. Whoever reads takes out what the others are to be told, too. */
class Share implements InotifyInstance {
  readonly fd: number;
  readonly share: () => InotifyInstance;
  readonly #instance: SharedInstance;
  readonly #onTold: () => void;
  readonly #watches = new Set<number>();
  #waiting: Uint8Array[] = [];
  #isClosed = false;

  constructor(instance: SharedInstance, onTold: () => void) {
    this.#instance = instance;
    this.#onTold = onTold;
    this.fd = instance.fd;
    this.share = () => instance.open(onTold);
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  add(path: ByteString, mask: number): number {
    const watch = this.#instance.add(this, path, mask);
    if (watch >= 0) this.#watches.add(watch);
    return watch;
  }

  remove(watch: number): void {
    if (this.#watches.delete(watch)) this.#instance.remove(this, watch);
  }

  /** An event for this one. What it holds is the instance's again afterwards. */
  take(event: Uint8Array): void {
    if (this.#waiting.push(new Uint8Array(event)) === 1) this.#onTold();
  }

  read(buffer: Uint8Array): number {
    this.#instance.distribute();
    let length = 0;
    let count = 0;
    for (const event of this.#waiting) {
      if (length + event.length > buffer.length) break;
      buffer.set(event, length);
      length += event.length;
      count++;
    }
    if (count === 0) return -EAGAIN;
    this.#waiting = this.#waiting.slice(count);
    return length;
  }

  queued(): number {
    const waiting = this.#waiting.reduce((sum, { length }) => sum + length, 0);
    return waiting + check(fionread(this.fd), 'FIONREAD');
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting = [];
    this.#instance.leave(this, this.#watches);
  }
}

/** This thread's. */
let shared: SharedInstance | undefined;

/**
 * A share of this thread's instance, which is made where there is none. Throws a SysError.
 * @param onTold called when it has something to read, whoever has read that from the kernel
 */
export function shareInstance(onTold: () => void = () => {}): InotifyInstance {
  shared ??= new SharedInstance(check(inotifyInit(), 'inotify_init'));
  return shared.open(onTold);
}

/** Throws a SysError. */
export function ownInstance(): InotifyInstance {
  return new OwnInstance(check(inotifyInit(), 'inotify_init'));
}

// Which file systems are mounted where, and when that changes (proc_pid_mountinfo(5)).

import type { ByteString } from '../core/name.ts';
import { AT_FDCWD, O_CLOEXEC, O_RDONLY, SEEK_SET } from './constants.ts';
import { lseek, read } from './content-calls.ts';
import { close, openat, procPath, readlinkat } from './entry-calls.ts';
import { addressOf, syscall1, syscall4, syscall5 } from './ffi.ts';
import { uniqueMountId } from './stat.ts';
import { check, SysError } from './sys-error.ts';
import { nr } from './syscall-numbers.ts';

const mountinfoPath = '/proc/self/mountinfo';

export interface Mount {
  readonly id: number;
  /** The mount that it is mounted on. */
  readonly parentId: number;
  /** `major:minor` of the superblock: the same for every mount of a file system, btrfs subvolumes included. */
  readonly device: string;
  /** What of its file system it shows: `/`, or the path of a directory or file in it. */
  readonly root: ByteString;
  readonly point: ByteString;
  /** As mount(8) has it: `ext4`, `nfs4`, `fuse.sshfs`. */
  readonly type: string;
  /** What is mounted: a device, `server:/export`, a name that the file system chose. */
  readonly what: ByteString;
}

function withoutEscapes(field: string): ByteString {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The mounts of this process's namespace, in the order in which they were made. */
export function readMounts(): Mount[] {
  const fd = openMountinfo();
  try {
    return readMountsFrom(fd);
  } finally {
    close(fd);
  }
}

const chunk = Buffer.from(new ArrayBuffer(64 * 1024));

/** By a descriptor of mountinfo, from its beginning. */
function readMountsFrom(fd: number): Mount[] {
  const mounts: Mount[] = [];
  const parts: string[] = [];
  lseek(fd, 0, SEEK_SET);
  for (;;) {
    const length = check(read(fd, chunk), 'read', mountinfoPath);
    if (length === 0) break;
    parts.push(chunk.toString('latin1', 0, length));
  }
  for (const line of parts.join('').split('\n')) {
    // 36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw
    const fields = line.split(' ');
    const [id, parentId, device, root, point] = fields;
    const [type, what] = fields.slice(fields.indexOf('-') + 1);
    if (id === undefined || device === undefined || root === undefined || point === undefined) continue;
    if (type === undefined || what === undefined) continue;
    mounts.push({
      id: Number(id),
      parentId: Number(parentId),
      device,
      root: withoutEscapes(root),
      point: withoutEscapes(point),
      type,
      what: withoutEscapes(what),
    });
  }
  return mounts;
}

/** The path that leads to a descriptor now. */
export function pathOf(fd: number): ByteString {
  const path = readlinkat(AT_FDCWD, procPath(fd));
  if (typeof path === 'number') throw new SysError(path, 'readlink', procPath(fd));
  return path;
}

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN = 1;
const EPOLLPRI = 2;

export interface MountChanges {
  readonly mounted: readonly Mount[];
  readonly unmounted: readonly Mount[];
}

/** Tells when the mounts of this process's namespace change. Holds no file system busy. */
export class MountWatch implements Disposable {
  /**
   * mountinfo always polls readable and signals a change as urgent data, once for each descriptor. Whoever polls gets an
   * epoll descriptor that passes only the urgent data on; `changes` asks a second descriptor of its own.
   */
  readonly fd: number;
  readonly #woken: number;
  readonly #asked: number;
  readonly #isOurs: (mount: Mount) => boolean;
  readonly #uniqueIdOf: (mount: Mount) => number | undefined;
  #mounts: Map<string, Mount>;
  /** Of ours, by the keys of `#mounts`. */
  #uniqueIds: ReadonlyMap<string, number> = new Map();
  #closed = false;

  /**
   * @param isOurs those that are told also when another one of the same number, device and place has taken their place between two looks
   * @param uniqueIdOf for tests: kernels before Linux 6.8 cannot tell that
   */
  constructor(
    isOurs: (mount: Mount) => boolean = () => false,
    uniqueIdOf: (mount: Mount) => number | undefined = ({ point, id }) => uniqueMountId(point, id),
  ) {
    this.#isOurs = isOurs;
    this.#uniqueIdOf = uniqueIdOf;
    const opened: number[] = [];
    const keep = (fd: number): number => {
      opened.push(fd);
      return fd;
    };
    try {
      this.#woken = keep(openMountinfo());
      this.#asked = keep(openMountinfo());
      this.fd = keep(check(syscall1(nr.epollCreate1, EPOLL_CLOEXEC), 'epoll_create'));
      this.#wakeBy(this.#woken, EPOLLPRI);
      this.#mounts = index(readMountsFrom(this.#asked));
    } catch (error) {
      for (const fd of opened) close(fd);
      throw error;
    }
    this.#replaced();
  }

  /** `fd` is readable too while that one is. */
  wakeBy(fd: number): void {
    this.#wakeBy(fd, EPOLLIN);
  }

  #wakeBy(fd: number, events: number): void {
    const event = new Uint32Array(new ArrayBuffer(16));
    event[0] = events;
    check(syscall4(nr.epollCtl, this.fd, EPOLL_CTL_ADD, fd, addressOf(event)), 'epoll_ctl');
  }

  /** The mount with this id, or undefined when it is not in this namespace. */
  find(id: number): Mount | undefined {
    for (const mount of this.#mounts.values()) if (mount.id === id) return mount;
    return undefined;
  }

  /** All mounts, in the order in which they were made. */
  get all(): Iterable<Mount> {
    return this.#mounts.values();
  }

  /** Any mount of the superblock, or undefined when none is left. */
  findDevice(device: string): Mount | undefined {
    for (const mount of this.#mounts.values()) if (mount.device === device) return mount;
    return undefined;
  }

  /** What changed since it was last asked, undefined when nothing did: one cheap call then. */
  changes(): MountChanges | undefined {
    if (!hasUrgentData(this.#asked)) return undefined;
    const former = this.#mounts;
    // By a descriptor that is there already: this cannot be put off.
    this.#mounts = index(readMountsFrom(this.#asked));
    const mounted = [...this.#mounts].filter(([key]) => !former.has(key)).map(([, mount]) => mount);
    const unmounted = [...former].filter(([key]) => !this.#mounts.has(key)).map(([, mount]) => mount);
    const replaced = this.#replaced();
    const canTell = this.#uniqueIds.size > 0;
    // Something has changed all the same: perhaps that.
    if (!canTell && mounted.length === 0 && unmounted.length === 0)
      return { mounted: this.#ours.map(([, mount]) => mount), unmounted };
    return { mounted: [...mounted, ...replaced], unmounted: [...replaced, ...unmounted] };
  }

  get #ours(): [string, Mount][] {
    return [...this.#mounts].filter(([, mount]) => this.#isOurs(mount));
  }

  /** Those of ours that bear the number of another one which was where they are. */
  #replaced(): Mount[] {
    const ids = new Map<string, number>();
    const replaced: Mount[] = [];
    for (const [key, mount] of this.#ours) {
      const was = this.#uniqueIds.get(key);
      const is = this.#uniqueIdOf(mount);
      // One that something is mounted over cannot be asked.
      const known = is ?? was;
      if (known !== undefined) ids.set(key, known);
      if (was !== undefined && was !== known) replaced.push(mount);
    }
    this.#uniqueIds = ids;
    return replaced;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    close(this.fd);
    close(this.#woken);
    close(this.#asked);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Not by node:fs: a thread of Node.js closes what that has opened when it ends, and does not see that we have closed it. */
function openMountinfo(): number {
  return check(openat(AT_FDCWD, mountinfoPath, O_RDONLY | O_CLOEXEC), 'open', mountinfoPath);
}

/** Ids are given out again soon after an unmount, so an id alone is no key. */
function index(mounts: readonly Mount[]): Map<string, Mount> {
  return new Map(mounts.map((mount) => [`${mount.id} ${mount.device} ${mount.point}`, mount]));
}

const pollWords = new Int32Array(new ArrayBuffer(24));
const pollAddress = addressOf(pollWords);

/** Looks, without waiting, whether the descriptor has urgent data; asking takes the sign away. */
function hasUrgentData(fd: number): boolean {
  pollWords[0] = fd;
  pollWords[1] = EPOLLPRI;
  return syscall5(nr.ppoll, pollAddress, 1, pollAddress + 8, 0, 8) > 0;
}

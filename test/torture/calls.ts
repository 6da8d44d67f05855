// System calls that only the generator needs. As everywhere, a result below zero is -errno.

import type { ByteString } from '../../src/core/name.ts';
import { addressOf, syscall1, syscall2, syscall4, syscall5, syscall6 } from '../../src/kernel/ffi.ts';
import { first, second } from '../../src/kernel/scratch.ts';
import { nr } from '../../src/kernel/syscall-numbers.ts';

const x64 = { chroot: 161, mmap: 9, munmap: 11, memfdCreate: 319, lsetxattr: nr.lsetxattr };
const generic: typeof x64 = { chroot: 51, mmap: 222, munmap: 215, memfdCreate: 279, lsetxattr: nr.lsetxattr };
const own = process.arch === 'x64' ? x64 : generic;

export function chroot(path: ByteString): number {
  return first.set(path) || syscall1(own.chroot, first.address);
}

export function setxattr(path: ByteString, name: ByteString, value: Uint8Array): number {
  const bad = first.set(path) || second.set(name);
  // An empty typed array has no address of its own.
  const bytes = value.length > 0 ? value : new Uint8Array(1);
  return bad || syscall5(nr.lsetxattr, first.address, second.address, addressOf(bytes), value.length, 0);
}

export function removexattr(path: ByteString, name: ByteString): number {
  return first.set(path) || second.set(name) || syscall2(nr.lremovexattr, first.address, second.address);
}

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/** An anonymous file: bytes go from it into a mapping by pread, which stores to memory as any program would. */
function memfd(): number {
  first.set('torture');
  return syscall2(own.memfdCreate, first.address, 0);
}

/** A shared mapping of the start of a file. */
export class Mapping {
  readonly #address: number;
  readonly #length: number;
  readonly #memfd: number;

  /** @throws Error when the file cannot be mapped. */
  constructor(fd: number, length: number) {
    this.#length = length;
    this.#address = syscall6(own.mmap, 0, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    this.#memfd = memfd();
    if (this.#address < 0 || this.#memfd < 0)
      throw new Error(`mmap: ${this.#address}, memfd: ${this.#memfd}`);
  }

  /** Stores `bytes` at `at`. */
  store(at: number, bytes: Uint8Array): void {
    if (at < 0 || at + bytes.length > this.#length) throw new RangeError('outside the mapping');
    syscall4(nr.pwrite, this.#memfd, addressOf(bytes), bytes.length, 0);
    syscall4(nr.pread, this.#memfd, this.#address + at, bytes.length, 0);
  }

  close(): void {
    syscall2(own.munmap, this.#address, this.#length);
    syscall1(nr.close, this.#memfd);
  }
}

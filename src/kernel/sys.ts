// kernel/: system calls on descriptors and byte-string names, and the kernel's event sources. No policy.
// May import core and runtime. This file is the door to the calls; they are synchronous and belong in worker
// threads. Each returns a number >= 0 (or the value it is asked for) or the negative errno; none throws for what
// the kernel says. `check` turns a failure into a SysError. Interrupted calls are repeated.

export * from './constants.ts';
export * from './content-calls.ts';
export * from './directory.ts';
export * from './entry-calls.ts';
export * from './handle.ts';
export * from './mapped-memory.ts';
export * from './poll.ts';
export * from './socket-pair.ts';
export * from './stat.ts';
export * from './sys-error.ts';
export * from './xattr.ts';

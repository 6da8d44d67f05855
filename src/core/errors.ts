// Failures of a session or of the command. Each has a stable code, an exit code, and says whether
// trying again can help. One path's failure is not an error but a Problem (problem.ts).

/** Stable codes and the exit code that `fam` ends with. 0 success, 1 anything else, 2 usage. */
export const exitCodes = {
  INTERNAL: 1,
  USAGE: 2,
  SOURCE_MISSING: 10,
  SOURCE_NOT_DIRECTORY: 11,
  SOURCE_UNREADABLE: 12,
  SOURCE_DOUBTFUL: 13,
  STATE_IN_USE: 14,
  STATE_UNUSABLE: 15,
  OVERLAP: 16,
  MONITOR_UNAVAILABLE: 17,
  HOST_UNREACHABLE: 20,
  SSH_DENIED: 21,
  HOST_KEY: 22,
  NODE_MISSING: 23,
  AGENT_FAILED: 24,
  PROTOCOL: 25,
  DESTINATION_UNWRITABLE: 30,
  DESTINATION_NOT_DIRECTORY: 31,
  DISK_FULL: 32,
  REPLICA_BUSY: 33,
  REPLICA_FENCED: 34,
  SUPERSEDED: 35,
  REPLICA_INCOMPLETE: 36,
  TIMEOUT: 40,
  NOT_RUNNING: 41,
  OUTPUT_UNWRITABLE: 42,
} as const;
export type ErrorCode = keyof typeof exitCodes;

export interface FamErrorOptions {
  readonly cause?: unknown;
  /** True when the same attempt may succeed later without anyone changing anything. */
  readonly retryable?: boolean;
}

/** The code of an error of Node.js (`ENOENT`, `MODULE_NOT_FOUND`); undefined: it has none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}

/** For whoever is to find a defect. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** There was no room on the disk, whoever found that out: a system call, Node.js or lmdb. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof Error && /No space left|ENOSPC|EDQUOT/.test(error.message);
}

/** What happened, where, and what to do about it, in the message; the rest for programs. */
export class FamError extends Error {
  override readonly name = 'FamError';
  readonly code: ErrorCode;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: FamErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }

  get exitCode(): number {
    return exitCodes[this.code];
  }
}

/** What `isDiskFull` says, of the source's state. */
export function stateIsFull(stateDir: string, cause: unknown): FamError {
  const message = `the state in ${stateDir} cannot be written: its file system is full: make room there, and start fam again`;
  return new FamError('STATE_UNUSABLE', message, { cause });
}

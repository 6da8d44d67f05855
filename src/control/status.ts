// control/: what a running mirror tells of itself and does on request: HTTP over a Unix socket in the state
// folder. Imports core, runtime. This file is the shape of `GET /status`, for server and client alike.

import * as z from 'zod/mini';

const replicaStatus = z.object({
  replica: z.string(),
  state: z.enum(['connecting', 'comparing', 'live', 'lost', 'stopped']),
  /** Every change up to here is visible on the replica; on its disk. */
  applied: z.number(),
  durable: z.number(),
  /** Changes behind the source; large contents still under way. */
  behind: z.number(),
  owedFiles: z.number(),
  /** Seconds since the replica last had everything; 0 when it has, null before it ever had. */
  lagSeconds: z.nullable(z.number()),
  /** Sent to it in this session. */
  files: z.number(),
  bytes: z.number(),
  /** Paths that could not be handled in this session. */
  problems: z.number(),
  /** Of these: paths that are not as they are at the source. */
  failed: z._default(z.number(), 0),
  /** Capabilities that it lacks, by name. */
  lacks: z.array(z.string()),
  lastError: z.nullable(z.string()),
  /** Seconds until the next attempt, while `lost`. */
  retryInSeconds: z.nullable(z.number()),
});

export const mirrorStatus = z.object({
  version: z.string(),
  pid: z.number(),
  source: z.string(),
  monitor: z.nullable(z.enum(['fanotify', 'inotify'])),
  monitorReason: z.nullable(z.string()),
  /** What the monitor cannot see, or sees in another way than the rest: network and FUSE file systems, too few watches. */
  warnings: z.array(z.string()),
  /** The first scan after the start is still running. */
  scanning: z.boolean(),
  /** Files, folders and all else in the source. */
  files: z.number(),
  head: z.number(),
  replicas: z.array(replicaStatus),
});

export type ReplicaStatus = z.infer<typeof replicaStatus>;
export type MirrorStatus = z.infer<typeof mirrorStatus>;

/** What a mirror may be asked to wait for at most: a day. */
export const longestWaitMs = 86_400_000;

/** The answer to `POST /wait`. */
export const waitResult = z.object({
  reached: z.boolean(),
  /** Everything that had happened before the call has a seq up to this. */
  seq: z.number(),
  /** Replicas that are not there yet. */
  behind: z.array(z.string()),
});
export type WaitResult = z.infer<typeof waitResult>;

// Makes the replica's file system durable while the applier goes on.

import { parentPort, workerData } from 'node:worker_threads';
import { syncfs } from '../kernel/sys.ts';
import type { SyncData, SyncReply, SyncRequest } from './thread-messages.ts';

const { fd } = workerData as SyncData;
parentPort?.on('message', ({ cursor }: SyncRequest) => {
  const reply: SyncReply = { cursor, result: syncfs(fd) };
  parentPort?.postMessage(reply);
});

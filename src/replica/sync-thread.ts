// Makes the replica's file system durable while the applier goes on.

import { workerData } from 'node:worker_threads';
import { signalEventfd, syncfs } from '../kernel/sys.ts';
import type { SyncData, SyncReply, SyncRequest } from './thread-messages.ts';

const { fd, port, wakeFd } = workerData as SyncData;
port.on('message', ({ cursor }: SyncRequest) => {
  const reply: SyncReply = { cursor, result: syncfs(fd) };
  port.postMessage(reply);
  signalEventfd(wakeFd);
});

// The control socket's server. `curl --unix-socket STATE/control.sock http://fam/status` works.

import { closeSync, constants, openSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import * as z from 'zod/mini';
import { FamError } from '../core/errors.ts';
import { longestWaitMs, type MirrorStatus, type WaitResult } from './status.ts';

export const controlSocketName = 'control.sock';

/** What the socket serves. */
export interface Controlled {
  status(): MirrorStatus;
  /** The barrier; settles at the latest after `timeoutMs`. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<WaitResult>;
}

const waitQuery = z.object({
  timeoutMs: z._default(z.coerce.number().check(z.nonnegative(), z.maximum(longestWaitMs)), 60_000),
});

/** A state folder, held open. */
export interface HeldFolder {
  /** The way to the control socket in it. Short: sun_path of sockaddr_un (unix(7)) holds 107 bytes. */
  readonly socketPath: string;
  /** To be called once. */
  close(): void;
}

/** Throws what `open` does. */
export function holdStateFolder(stateDir: string): HeldFolder {
  const fd = openSync(stateDir, constants.O_RDONLY | constants.O_DIRECTORY);
  return { socketPath: `/proc/self/fd/${fd}/${controlSocketName}`, close: () => closeSync(fd) };
}

/** Listens in the state folder; whoever may enter that folder (0700) may ask. Returns what closes it. */
export async function serveControl(stateDir: string, mirror: Controlled): Promise<() => Promise<void>> {
  // Held: at the end the socket is removed from this folder, also if another one, and another mirror's, has its place by then.
  const folder = holdStateFolder(stateDir);
  // RACE: none; the store's lock, which we hold, keeps every other mirror out of this folder.
  rmSync(folder.socketPath, { force: true });
  const server = createServer((request, response) => {
    answer(mirror, request, response).catch((error: unknown) => {
      const isOver = error instanceof FamError && error.code === 'NOT_RUNNING';
      reply(response, isOver ? 503 : 500, { error: isOver ? error.message : String(error) });
    });
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(folder.socketPath, resolve);
    });
  } catch (error) {
    folder.close();
    throw error;
  }
  server.once('close', () => folder.close());
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}

async function answer(mirror: Controlled, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fam');
  const asked = `${request.method} ${pathname}`;
  if (asked === 'GET /status') reply(response, 200, mirror.status());
  else if (asked === 'POST /wait') {
    const query = waitQuery.safeParse(Object.fromEntries(searchParams));
    if (!query.success) {
      reply(response, 400, { error: `timeoutMs takes 0 to ${longestWaitMs} milliseconds` });
      return;
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    reply(response, 200, await mirror.wait(query.data.timeoutMs, gone.signal));
  } else reply(response, 404, { error: `no ${asked} here: GET /status, POST /wait?timeoutMs=N` });
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

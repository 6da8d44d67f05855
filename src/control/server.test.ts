import { linkSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { askStatus, askWait, isMirrorRunning } from './client.ts';
import { type Controlled, controlSocketName, serveControl } from './server.ts';
import type { MirrorStatus, WaitResult } from './status.ts';

const status: MirrorStatus = {
  version: '1',
  pid: 1,
  source: '/var/www',
  monitor: 'fanotify',
  monitorReason: null,
  warnings: [],
  scanning: false,
  files: 3,
  head: 7,
  replicas: [],
};
const waited: WaitResult = { reached: true, seq: 7, behind: [] };

let folder = '';
let close = async (): Promise<void> => {};
let asked: number[] = [];
let aborted: AbortSignal | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fam-control-'));
  asked = [];
});
afterEach(async () => {
  await close();
  rmSync(folder, { recursive: true, force: true });
});

const controlled: Controlled = {
  status: () => status,
  wait: (timeoutMs, signal) => {
    asked.push(timeoutMs);
    aborted = signal;
    return timeoutMs === 1 ? new Promise(() => {}) : Promise.resolve(waited);
  },
};

function call(method: string, path: string): Promise<{ code: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const socketPath = join(folder, controlSocketName);
    const sent = request({ socketPath, method, path }, (response) => {
      let body = '';
      response.on('data', (part: Buffer) => {
        body += part.toString('utf8');
      });
      response.once('end', () => resolve({ code: response.statusCode, body }));
    });
    sent.once('error', reject);
    sent.end();
  });
}

test('serveControl answers status and wait, as the client reads them', async () => {
  close = await serveControl(folder, controlled);
  expect(await askStatus(folder)).toEqual(status);
  expect(await askWait(folder, 2500)).toEqual(waited);
  expect(asked).toEqual([2500]);
});

test('serveControl says what it does not understand', async () => {
  close = await serveControl(folder, controlled);
  expect(await call('GET', '/nothing')).toMatchObject({ code: 404 });
  expect(await call('POST', '/wait?timeoutMs=soon')).toMatchObject({ code: 400 });
});

test('serveControl tells the mirror when whoever waited has gone', async () => {
  close = await serveControl(folder, controlled);
  const sent = request({
    socketPath: join(folder, controlSocketName),
    method: 'POST',
    path: '/wait?timeoutMs=1',
  });
  sent.once('error', () => {});
  sent.end();
  await expect.poll(() => aborted?.aborted).toBe(false);
  sent.destroy();
  await expect.poll(() => aborted?.aborted).toBe(true);
});

test('a state folder may have a path that no socket can have', async () => {
  const deep = join(folder, 'x'.repeat(120));
  mkdirSync(deep);
  close = await serveControl(deep, controlled);
  expect(await askStatus(deep)).toEqual(status);
});

test('the client says when nobody listens, and when there is no such folder', async () => {
  for (const state of [folder, join(folder, 'none')])
    await expect(askStatus(state)).rejects.toMatchObject({ code: 'NOT_RUNNING' });
});

test('the end of a mirror whose state folder was removed leaves the socket of the next one alone', async () => {
  const first = await serveControl(folder, controlled);
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  close = await serveControl(folder, controlled);
  await first();
  expect(await askStatus(folder)).toEqual(status);
});

test('isMirrorRunning is not taken in by the socket that a killed mirror has left', async () => {
  expect(await isMirrorRunning(folder)).toBe(false);
  close = await serveControl(folder, controlled);
  expect(await isMirrorRunning(folder)).toBe(true);
  await close();
  close = () => Promise.resolve();
  const socket = join(folder, 'another');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  linkSync(socket, join(folder, controlSocketName));
  await new Promise((resolve) => server.close(resolve));
  expect(await isMirrorRunning(folder)).toBe(false);
  expect(await isMirrorRunning(join(folder, 'none'))).toBe(false);
});

test('the client does not wait for ever for a mirror that is stopped', async () => {
  // The kernel takes connections for who listens and does nothing.
  const silent = createServer((socket) => socket.resume());
  await new Promise<void>((resolve) => silent.listen(join(folder, controlSocketName), resolve));
  close = () => new Promise((resolve) => silent.close(() => resolve()));
  await expect(askStatus(folder, 50)).rejects.toMatchObject({ code: 'TIMEOUT' });
});

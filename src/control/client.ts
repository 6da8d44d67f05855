// Asks a running mirror over its control socket.

import { request } from 'node:http';
import { connect } from 'node:net';
import { FamError } from '../core/errors.ts';
import { type HeldFolder, holdStateFolder } from './server.ts';
import { type MirrorStatus, mirrorStatus, type WaitResult, waitResult } from './status.ts';

export async function askStatus(stateDir: string): Promise<MirrorStatus> {
  return mirrorStatus.parse(await ask(stateDir, 'GET', '/status'));
}

/** @param timeoutMs how long the mirror may wait for its replicas */
export async function askWait(stateDir: string, timeoutMs: number): Promise<WaitResult> {
  return waitResult.parse(await ask(stateDir, 'POST', `/wait?timeoutMs=${timeoutMs}`));
}

/** Whether a mirror listens there: one that was killed leaves its socket behind. */
export async function isMirrorRunning(stateDir: string): Promise<boolean> {
  let folder: HeldFolder;
  try {
    folder = holdStateFolder(stateDir);
  } catch {
    return false;
  }
  try {
    return await listens(folder.socketPath);
  } finally {
    folder.close();
  }
}

function listens(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function ask(stateDir: string, method: string, path: string): Promise<unknown> {
  let folder: HeldFolder;
  try {
    folder = holdStateFolder(stateDir);
  } catch (cause) {
    throw notRunning(stateDir, cause);
  }
  try {
    return await askAt(folder.socketPath, stateDir, method, path);
  } finally {
    folder.close();
  }
}

function notRunning(stateDir: string, cause: unknown): FamError {
  const message = `no mirror is running with its state in ${stateDir}: start it, or name its folder with --state`;
  return new FamError('NOT_RUNNING', message, { cause });
}

function askAt(socketPath: string, stateDir: string, method: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => {
        const body = Buffer.concat(parts).toString('utf8');
        if (response.statusCode === 200) resolve(JSON.parse(body));
        else if (response.statusCode === 503)
          reject(new FamError('NOT_RUNNING', 'the mirror ended while it was waited for'));
        else reject(new FamError('INTERNAL', `the mirror answered ${response.statusCode}: ${body}`));
      });
    });
    call.once('error', (cause) => reject(notRunning(stateDir, cause)));
    call.end();
  });
}

// Asks a running mirror over its control socket.

import { request } from 'node:http';
import { connect } from 'node:net';
import { FamError } from '../core/errors.ts';
import { type HeldFolder, holdStateFolder } from './server.ts';
import { type MirrorStatus, mirrorStatus, type WaitResult, waitResult } from './status.ts';

/** A mirror that answers does so at once; one on a busy machine has this long. */
const answerMs = 20_000;

/** @throws FamError NOT_RUNNING, TIMEOUT */
export async function askStatus(stateDir: string, patienceMs = answerMs): Promise<MirrorStatus> {
  return mirrorStatus.parse(await ask(stateDir, 'GET', '/status', patienceMs));
}

/**
 * @param timeoutMs how long the mirror may wait for its replicas
 * @throws FamError NOT_RUNNING, TIMEOUT when it does not answer at all
 */
export async function askWait(stateDir: string, timeoutMs: number): Promise<WaitResult> {
  return waitResult.parse(await ask(stateDir, 'POST', `/wait?timeoutMs=${timeoutMs}`, timeoutMs + answerMs));
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

async function ask(stateDir: string, method: string, path: string, timeoutMs: number): Promise<unknown> {
  let folder: HeldFolder;
  try {
    folder = holdStateFolder(stateDir);
  } catch (cause) {
    throw notRunning(stateDir, cause);
  }
  try {
    return await askAt(folder.socketPath, stateDir, method, path, timeoutMs);
  } finally {
    folder.close();
  }
}

function notRunning(stateDir: string, cause: unknown): FamError {
  const message = `no mirror is running with its state in ${stateDir}: start it, or name its folder with --state`;
  return new FamError('NOT_RUNNING', message, { cause });
}

function askAt(
  socketPath: string,
  stateDir: string,
  method: string,
  path: string,
  timeoutMs: number,
): Promise<unknown> {
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
    call.setTimeout(timeoutMs, () => {
      const message = `the mirror with its state in ${stateDir} has not answered for ${timeoutMs / 1000} s: it is stopped (SIGSTOP), or does not get on`;
      call.destroy(new FamError('TIMEOUT', message));
    });
    call.once('error', (cause) => reject(cause instanceof FamError ? cause : notRunning(stateDir, cause)));
    call.end();
  });
}

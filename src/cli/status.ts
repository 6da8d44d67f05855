// `fam status`

import * as z from 'zod/mini';
import { askStatus } from '../control/client.ts';
import type { MirrorStatus, ReplicaStatus } from '../control/status.ts';
import { FamError } from '../core/errors.ts';
import { oneLine } from '../core/one-line.ts';
import { printable } from '../core/printable.ts';
import { timeOf } from '../replica/allegiance.ts';
import { type ReplicaRole, roleOf } from '../replica/role.ts';
import { counted } from './counted.ts';
import { chooseState } from './state-option.ts';

const statusOptions = z.object({ state: z.optional(z.string()), json: z._default(z.boolean(), false) });

/** Of the mirror from there, of the tree as a replica, or of both. @throws FamError NOT_RUNNING: neither */
export async function statusCommand(source: string | undefined, given: object): Promise<void> {
  const { state, json } = statusOptions.parse(given);
  const role = source === undefined ? undefined : roleOf(source);
  const status = await statusOf(source, state, role !== undefined);
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ ...status, ...(role === undefined ? {} : { asReplica: role }) })}\n`,
    );
    return;
  }
  const lines = `${role === undefined ? '' : roleText(role)}${status === undefined ? '' : text(status)}`;
  process.stdout.write(printable(lines));
}

async function statusOf(
  source: string | undefined,
  state: string | undefined,
  mayBeNone: boolean,
): Promise<MirrorStatus | undefined> {
  try {
    return await askStatus(await chooseState(source, state));
  } catch (error) {
    if (mayBeNone && error instanceof FamError && error.code === 'NOT_RUNNING') return undefined;
    throw error;
  }
}

function roleText({ root, isMain, isWhole, promotedAt, agent, home }: ReplicaRole): string {
  const parts = [isMain ? `the main since ${timeOf(promotedAt)} (fam promote)` : 'a replica'];
  if (!isMain) {
    if (promotedAt > 0) parts.push(`of the main that was promoted at ${timeOf(promotedAt)}`);
    parts.push(isWhole ? 'a whole copy' : 'its first copy has not come to its end');
    parts.push(agent === undefined ? 'nobody is connected' : `connected (agent: process ${agent})`);
  }
  parts.push(`its own folder is ${home}`);
  return `${root}: ${parts.join(', ')}\n`;
}

function text(status: MirrorStatus): string {
  // The reason begins with the monitor's name.
  const by = status.monitorReason || status.monitor;
  const monitor = by === null ? 'not watched' : `watched by ${by}`;
  const lines = [
    `${status.source}: ${status.files} files and folders, ${monitor}${status.scanning ? ', scanning' : ''}`,
  ];
  for (const warning of status.warnings) lines.push(`  warning: ${warning}`);
  for (const replica of status.replicas) lines.push(`  ${replica.replica}: ${replicaText(replica)}`);
  return `${lines.join('\n')}\n`;
}

function replicaText(replica: ReplicaStatus): string {
  const parts: string[] = [];
  if (replica.state === 'live' && replica.lagSeconds === 0)
    parts.push(
      replica.failed === 0
        ? 'in sync'
        : `in sync but for ${counted(replica.failed, 'failure')}, which the log names`,
    );
  else {
    parts.push(replica.state);
    if (replica.state === 'lost' && replica.lastError !== null)
      parts.push(oneLine(replica.lastError, replica.replica));
    if (replica.behind > 0) parts.push(`${counted(replica.behind, 'change')} behind`);
    if (replica.owedFiles > 0) parts.push(`${counted(replica.owedFiles, 'large file')} under way`);
    if (replica.lagSeconds !== null) parts.push(`since ${replica.lagSeconds.toFixed(1)} s`);
  }
  const problems = replica.problems - replica.failed;
  if (problems > 0) parts.push(counted(problems, 'problem'));
  if (replica.lacks.length > 0) parts.push(`cannot keep ${replica.lacks.join(', ')}`);
  if (replica.retryInSeconds !== null) parts.push(`next try in ${replica.retryInSeconds.toFixed(1)} s`);
  return parts.join(', ');
}

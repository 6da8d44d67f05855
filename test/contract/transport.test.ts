import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
// @ts-expect-error: a build script in plain JavaScript
import { bundleAgent } from '../../scripts/build-agent.mjs';
import { type AgentFile, readAgentFile } from '../../src/transport/agent-file.ts';
import { LocalTransport } from '../../src/transport/local.ts';
import { pipePair } from '../../src/transport/pipe.ts';
import { SshTransport } from '../../src/transport/ssh.ts';
import { servePeer } from '../support/link-peer.ts';
import { openLink } from '../support/open-link.ts';
import { type Sshd, startSshd } from '../support/sshd.ts';
import { describeLinks } from './transport.ts';

let folder: string;
let peer: AgentFile;
let sshd: Sshd;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fam-transport-'));
  const file = join(folder, 'peer.cjs');
  await bundleAgent(new URL('../support/link-peer-main.ts', import.meta.url).pathname, file);
  peer = readAgentFile(file);
  sshd = await startSshd({ until: 'dispose', env: { XDG_CACHE_HOME: join(folder, 'cache') } });
});

afterAll(async () => {
  await sshd.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describeLinks({
  name: 'a pipe in memory',
  ownProcess: false,
  async open(mode) {
    const dying = mode === 'die-mid-frame';
    const pair = pipePair(dying ? { toSource: { cutAfterBytes: 7 } } : {});
    servePeer(pair.agent, dying ? 'farewell' : mode.replace('noisy-', ''), { exit: () => {} });
    return pair.source;
  },
});

describeLinks({
  name: 'a pipe in memory that delivers a few bytes at a time',
  ownProcess: false,
  async open(mode) {
    const dying = mode === 'die-mid-frame';
    // Small enough to split every length prefix, large enough for half a GiB.
    const dribbleBytes = mode === 'flood' || mode === 'sink' ? 30_011 : 1021;
    const pair = pipePair({
      toAgent: { dribbleBytes },
      toSource: { dribbleBytes, ...(dying && { cutAfterBytes: 7 }) },
    });
    servePeer(pair.agent, dying ? 'farewell' : mode.replace('noisy-', ''), { exit: () => {} });
    return pair.source;
  },
});

describeLinks({
  name: 'a child process',
  ownProcess: true,
  open: (mode) => openLink(new LocalTransport(mode, { fam: [process.execPath, join(folder, 'peer.cjs')] })),
});

describeLinks({
  name: 'ssh',
  ownProcess: true,
  open: (mode) => openLink(new SshTransport('web1', mode, { rsh: sshd.rsh, agent: peer })),
});

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// @ts-expect-error: a build script in plain JavaScript
import { bundleAgent } from '../../scripts/build-agent.mjs';
import type { FamError } from '../../src/core/errors.ts';
import { type AgentFile, readAgentFile } from '../../src/transport/agent-file.ts';
import { remoteCommand } from '../../src/transport/bootstrap.ts';
import { SshTransport } from '../../src/transport/ssh.ts';
import type { Link } from '../../src/wire/link.ts';
import { freePort } from '../support/free-port.ts';
import { openLink } from '../support/open-link.ts';
import { runningProcesses } from '../support/processes.ts';
import { type Sshd, startSshd } from '../support/sshd.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { waitFor } from '../support/wait-for.ts';

let folder: string;
let peer: AgentFile;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fam-ssh-'));
  const file = join(folder, 'peer.cjs');
  await bundleAgent(new URL('../support/link-peer-main.ts', import.meta.url).pathname, file);
  peer = readAgentFile(file);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hostWith = (env: Record<string, string>, config: readonly string[] = []) => startSshd({ env, config });
const transport = (sshd: Sshd, path: string) =>
  new SshTransport('web1', path, { rsh: sshd.rsh, agent: peer });

/** Sends one frame and gets it back. */
async function echoes(link: Link): Promise<void> {
  const answer = new Promise<string>((resolve) => {
    link.onFrame = (frame) => resolve(Buffer.from(frame).toString());
  });
  link.send(Buffer.from('hello'));
  expect(await answer).toBe('hello');
  link.close(true);
  expect(await link.ended).toEqual({ error: undefined });
}

const failureOf = (connecting: Promise<Link>): Promise<FamError> =>
  connecting.then(
    () => expect.unreachable(),
    (error: FamError) => error,
  );

describe('SshTransport: the agent on a host without fam', () => {
  it('is brought along once, and used from then on', async () => {
    const cache = tempFolder('cache');
    const sshd = await hostWith({ XDG_CACHE_HOME: cache });
    await echoes(await openLink(transport(sshd, 'echo')));
    const names = readdirSync(join(cache, 'fam'));
    expect(names).toEqual([`agent-${peer.version}-${peer.sha256.slice(0, 16)}.cjs`]);
    const file = join(cache, 'fam', names[0] ?? '');
    expect(readFileSync(file).equals(peer.code)).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o700);
    const { ino } = statSync(file);
    await echoes(await openLink(transport(sshd, 'echo')));
    expect(statSync(file).ino).toBe(ino);
  });

  it('is brought again when its file is damaged, or open to others', async () => {
    const cache = tempFolder('cache');
    const sshd = await hostWith({ XDG_CACHE_HOME: cache });
    await echoes(await openLink(transport(sshd, 'echo')));
    const file = join(cache, 'fam', readdirSync(join(cache, 'fam'))[0] ?? '');
    writeFileSync(file, 'process.exit(99)');
    await echoes(await openLink(transport(sshd, 'echo')));
    expect(readFileSync(file).equals(peer.code)).toBe(true);
    chmodSync(file, 0o777);
    await echoes(await openLink(transport(sshd, 'echo')));
    expect(statSync(file).mode & 0o777).toBe(0o700);
  });

  it('outlives the agents of other versions that nobody has started for long, and nothing else goes', async () => {
    const cache = tempFolder('cache');
    const inCache = (name: string): string => join(cache, 'fam', name);
    mkdirSync(join(cache, 'fam'), { mode: 0o700 });
    const daysAgo = (days: number): number => Date.now() / 1000 - days * 86_400;
    for (const [name, days] of [
      ['agent-0.0.1-0123456789abcdef.cjs', 31],
      ['agent-0.0.2-0123456789abcdef.cjs', 29],
      ['koffi-0123456789abcdef.node', 31],
      ['notes', 31],
    ] as const) {
      writeFileSync(inCache(name), '');
      utimesSync(inCache(name), daysAgo(days), daysAgo(days));
    }
    const sshd = await hostWith({ XDG_CACHE_HOME: cache });
    const own = `agent-${peer.version}-${peer.sha256.slice(0, 16)}.cjs`;
    for (let starts = 0; starts < 2; starts++) {
      await echoes(await openLink(transport(sshd, 'echo')));
      expect(new Set(readdirSync(join(cache, 'fam')))).toEqual(
        new Set([own, 'agent-0.0.2-0123456789abcdef.cjs', 'koffi-0123456789abcdef.node', 'notes']),
      );
      // It was started just now, however long ago it was brought.
      utimesSync(inCache(own), daysAgo(31), daysAgo(31));
    }
  });

  it('goes elsewhere when the cache folder is open to others, a link, or cannot be made', async () => {
    const fallback = `/var/tmp/fam-agent-${process.getuid?.()}`;
    const had = existsSync(fallback);
    const open = tempFolder('open');
    mkdirSync(join(open, 'fam'));
    chmodSync(join(open, 'fam'), 0o777);
    const linked = tempFolder('linked');
    symlinkSync(open, join(linked, 'fam'));
    try {
      for (const cache of [open, linked, '/dev/null']) {
        const sshd = await hostWith({ XDG_CACHE_HOME: cache });
        await echoes(await openLink(transport(sshd, 'echo')));
        expect(readdirSync(join(open, 'fam'))).toEqual([]);
      }
      expect(statSync(fallback).mode & 0o777).toBe(0o700);
    } finally {
      if (!had) rmSync(fallback, { recursive: true, force: true });
      else rmSync(join(fallback, `agent-${peer.version}-${peer.sha256.slice(0, 16)}.cjs`), { force: true });
    }
  });

  it('starts when two mirrors bring it at the same moment', async () => {
    const cache = tempFolder('cache');
    const sshd = await hostWith({ XDG_CACHE_HOME: cache });
    const links = await Promise.all([1, 2, 3].map(() => openLink(transport(sshd, 'echo'))));
    for (const link of links) await echoes(link);
    expect(readdirSync(join(cache, 'fam'))).toHaveLength(1);
  });

  it('gets any path as it is', async () => {
    const cache = tempFolder('cache');
    const sshd = await hostWith({ XDG_CACHE_HOME: cache });
    await echoes(await openLink(transport(sshd, '/srv/it\'s $HOME; "é" !x %41 \\n/echo')));
  });
});

describe('SshTransport: an installed fam', () => {
  const installed = (protocol: string) => {
    const bin = tempFolder('bin');
    const script = `#!/bin/sh\n[ "$2" = --protocol ] && { echo "${protocol}"; exit; }\nexec ${process.execPath} ${folder}/peer.cjs "$@"\n`;
    writeFileSync(join(bin, 'fam'), script, { mode: 0o755 });
    return `${bin}:${process.env['PATH']}`;
  };

  it('is preferred when it speaks our protocol', async () => {
    const cache = tempFolder('cache');
    const sshd = await hostWith({ XDG_CACHE_HOME: cache, PATH: installed('fam-agent 1') });
    await echoes(await openLink(transport(sshd, 'echo')));
    expect(existsSync(join(cache, 'fam'))).toBe(false);
  });

  it('is left alone when it does not', async () => {
    const cache = tempFolder('cache');
    const sshd = await hostWith({ XDG_CACHE_HOME: cache, PATH: installed('fam-agent 0') });
    await echoes(await openLink(transport(sshd, 'echo')));
    expect(readdirSync(join(cache, 'fam'))).toHaveLength(1);
  });
});

describe('SshTransport: what can be wrong', () => {
  const bare = () => {
    const bin = tempFolder('bin');
    for (const program of ['sh', 'bash']) {
      symlinkSync(
        execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim(),
        join(bin, program),
      );
    }
    return bin;
  };

  it('no node: NODE_MISSING', async () => {
    const sshd = await hostWith({ PATH: bare(), HOME: '/nonexistent' });
    const error = await failureOf(openLink(transport(sshd, 'echo')));
    expect(error).toMatchObject({ code: 'NODE_MISSING', retryable: false });
    expect(error.message).toMatch(/^web1:echo: no node in PATH of web1/);
  });

  it('a node that is too old: NODE_MISSING, and its version is named', async () => {
    const bin = bare();
    // The bootstrap itself decides: under this node the version reads 18.
    const old = `Object.defineProperty(process.versions,'node',{value:'18.19.0'});Object.defineProperty(process,'version',{value:'v18.19.0'})`;
    writeFileSync(join(bin, 'old.cjs'), old);
    writeFileSync(join(bin, 'node'), `#!/bin/sh\nexec ${process.execPath} -r ${bin}/old.cjs "$@"\n`, {
      mode: 0o755,
    });
    const sshd = await hostWith({ PATH: bin, HOME: '/nonexistent' });
    const error = await failureOf(openLink(transport(sshd, 'echo')));
    expect(error.code).toBe('NODE_MISSING');
    expect(error.message).toContain('is Node.js v18.19.0, too old');
  });

  it('nobody listens: HOST_UNREACHABLE, worth another try', async () => {
    const error = await failureOf(
      openLink(
        new SshTransport('127.0.0.1', '/srv', { rsh: `ssh -F none -p ${await freePort()}`, agent: peer }),
      ),
    );
    expect(error).toMatchObject({ code: 'HOST_UNREACHABLE', retryable: true });
    expect(error.message).toContain('cannot reach 127.0.0.1: connection refused');
  });

  it('no such host: HOST_UNREACHABLE', async () => {
    const error = await failureOf(
      openLink(new SshTransport('web1.invalid', '/srv', { rsh: 'ssh -F none', agent: peer })),
    );
    expect(error).toMatchObject({ code: 'HOST_UNREACHABLE', retryable: true });
    expect(error.message).toContain('no such host');
  });

  it('no such ssh: says how to get one', async () => {
    const error = await failureOf(
      openLink(new SshTransport('web1', '/srv', { rsh: 'no-such-ssh', agent: peer })),
    );
    expect(error).toMatchObject({ code: 'HOST_UNREACHABLE', retryable: false });
    expect(error.message).toContain("'no-such-ssh' cannot be run here");
  });

  it('a key that nobody knows: SSH_DENIED', async () => {
    const sshd = await hostWith({});
    writeFileSync(join(sshd.folder, 'authorized_keys'), '');
    const error = await failureOf(openLink(transport(sshd, 'echo')));
    expect(error).toMatchObject({ code: 'SSH_DENIED', retryable: false });
    expect(error.message).toContain('Permission denied');
  });

  it('another host key than before: HOST_KEY', async () => {
    const sshd = await hostWith({});
    const key = readFileSync(join(sshd.folder, 'user.pub'), 'utf8');
    writeFileSync(join(sshd.folder, 'known_hosts'), `fam-test ${key}`);
    const error = await failureOf(openLink(transport(sshd, 'echo')));
    expect(error).toMatchObject({ code: 'HOST_KEY', retryable: false });
  });

  it('an account that runs no commands: AGENT_FAILED, and what it said', async () => {
    const sshd = await hostWith({}, ['ForceCommand echo This account is currently not available.; exit 1']);
    const error = await failureOf(openLink(transport(sshd, 'echo')));
    expect(error.code).toBe('AGENT_FAILED');
    expect(error.message).toContain('This account is currently not available.');
  });

  it('something that talks and talks: PROTOCOL, and what it said', async () => {
    const sshd = await hostWith({}, ['ForceCommand yes not fam']);
    const error = await failureOf(openLink(transport(sshd, 'echo')));
    expect(error.code).toBe('PROTOCOL');
    expect(error.message).toContain('not fam');
  });

  it.each([
    ['full', 'DISK_FULL', 'no space left on /mnt/copy'],
    ['crash', 'AGENT_FAILED', 'out of luck'],
    ['no-agent', 'AGENT_FAILED', 'not available'],
  ])('an agent that ends as %s: %s', async (mode, code, message) => {
    const sshd = await hostWith({ XDG_CACHE_HOME: tempFolder('cache') });
    const error = await failureOf(openLink(transport(sshd, mode)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  it('a link that is up and loses its host: HOST_UNREACHABLE', async () => {
    const sshd = await hostWith({ XDG_CACHE_HOME: tempFolder('cache') });
    const link = await openLink(transport(sshd, 'echo'));
    await sshd.stop();
    const { error } = await link.ended;
    expect(error).toMatchObject({ code: 'HOST_UNREACHABLE', retryable: true });
  });

  it('nobody wants it any more: the signal ends the attempt and its process', async () => {
    const sshd = await hostWith({}, ['ForceCommand sleep 1000']);
    const stop = new AbortController();
    const connecting = failureOf(openLink(transport(sshd, 'echo'), stop.signal));
    await waitFor(() => sshd.log.includes('Accepted'), { describe: () => sshd.log });
    const reason = new Error('enough');
    stop.abort(reason);
    expect(await connecting).toBe(reason);
    await waitFor(() => runningProcesses().every(({ args }) => !args.includes(sshd.configFile)), {
      describe: 'no ssh',
    });
  });
});

describe('remoteCommand', () => {
  it('holds nothing between its quotes that a login shell would touch', () => {
    const command = remoteCommand({ version: '1.2.3', sha256: 'a'.repeat(64) }, '/srv/%27x');
    const [, quoted, rest] = /^exec sh -c '([^']*)'(.*)$/.exec(command) ?? [];
    expect(rest).toBe('');
    expect(quoted).not.toMatch(/[!\n]|\\\\/);
    expect(command.length).toBeLessThan(16_000);
  });

  it.for(['sh', 'bash', 'dash', 'zsh', 'fish', 'tcsh', 'csh', 'ksh', 'mksh'])(
    'reaches sh through %s',
    (shell, { skip }) => {
      try {
        execFileSync('sh', ['-c', `command -v ${shell}`]);
      } catch {
        skip(`${shell} is not installed`);
      }
      const command = remoteCommand({ version: '1', sha256: 'a'.repeat(64) }, 'x');
      const out = execFileSync(
        execFileSync('sh', ['-c', `command -v ${shell}`], { encoding: 'utf8' }).trim(),
        ['-c', command],
        {
          env: { PATH: process.env['PATH'], HOME: tempFolder('home') },
          input: '',
        },
      );
      expect(out.toString('latin1')).toBe('\0FAMup\r\n');
    },
  );
});

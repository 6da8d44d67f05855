import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// @ts-expect-error: a build script in plain JavaScript
import { bundleAgent } from '../../scripts/build-agent.mjs';
import { packageVersion } from '../../src/runtime/version.ts';
import { type AgentFile, readAgentFile } from '../../src/transport/agent-file.ts';
import { SshTransport } from '../../src/transport/ssh.ts';
import { decodeToSource, encode } from '../../src/wire/codec.ts';
import type { Link } from '../../src/wire/link.ts';
import { protocolVersion, type ToSource } from '../../src/wire/messages.ts';
import { openLink } from '../support/open-link.ts';
import { startSshd } from '../support/sshd.ts';
import { tempFolder } from '../support/temp-folder.ts';

const never = new AbortController().signal;
let folder: string;
let agent: AgentFile;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fam-bundle-'));
  const file = join(folder, 'agent.cjs');
  await bundleAgent(new URL('../../src/cli/agent-bundle.ts', import.meta.url).pathname, file);
  agent = readAgentFile(file);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const firstMessage = (link: Link) =>
  new Promise<ToSource>((resolve) => {
    link.onFrame = (frame) => resolve(decodeToSource(frame));
  });

describe('the one-file agent', () => {
  it('says hello from a host that had nothing of ours, with the addons and threads that it brought', async () => {
    const cache = tempFolder('cache');
    const root = join(tempFolder('replica'), 'root');
    const sshd = await startSshd({ env: { XDG_CACHE_HOME: cache } });
    const meet = async () => {
      const link = await openLink(new SshTransport('web1', root, { rsh: sshd.rsh, agent }));
      expect(await firstMessage(link)).toMatchObject({
        type: 'hello',
        protocol: protocolVersion,
        version: packageVersion(),
        root,
        empty: true,
        state: null,
      });
      link.send(encode({ type: 'bye' }));
      link.close(true);
      expect(await link.ended).toEqual({ error: undefined });
    };
    await meet();
    const files = readdirSync(join(cache, 'fam')).sort();
    expect(files.map((name) => name.split('-')[0])).toEqual(['agent', 'koffi', 'lmdb']);
    for (const name of files) expect(statSync(join(cache, 'fam', name)).mode & 0o777).toBe(0o700);

    // What was damaged, or planted, is never loaded.
    const addon = join(cache, 'fam', files[1] ?? '');
    const intact = readFileSync(addon);
    writeFileSync(addon, 'not an addon');
    await meet();
    expect(readFileSync(addon).equals(intact)).toBe(true);
  });

  it('is small enough to be brought along', () => {
    expect(agent.code.length).toBeLessThan(2 * 1024 * 1024);
  });
});

describe('fam agent --restrict', () => {
  it('serves what lies inside the folder and nothing else', async () => {
    const base = tempFolder('restricted');
    const bin = tempFolder('bin');
    const fam = new URL('../../bin/fam', import.meta.url).pathname;
    writeFileSync(
      join(bin, 'force'),
      `#!/bin/sh\nexec ${process.execPath} ${fam} agent --restrict ${base}\n`,
      {
        mode: 0o755,
      },
    );
    const sshd = await startSshd({ config: [`ForceCommand ${join(bin, 'force')}`] });
    const transport = (root: string) => new SshTransport('web1', root, { rsh: sshd.rsh, agent });
    const link = await openLink(transport(join(base, 'site')));
    expect(await firstMessage(link)).toMatchObject({ type: 'hello', root: join(base, 'site') });
    link.close(true);
    await link.ended;
    await expect(transport(tempFolder('elsewhere')).connect(never)).rejects.toMatchObject({
      code: 'DESTINATION_UNWRITABLE',
    });
    await expect(transport(`${base}/../x`).connect(never)).rejects.toMatchObject({
      code: 'DESTINATION_UNWRITABLE',
    });
  });
});

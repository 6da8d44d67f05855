// What docs/watch/ and docs/examples/ show does run, and does what it says.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformSync } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { Child } from '../support/child.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { waitFor } from '../support/wait-for.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
const pages = join(project, 'docs', 'watch');

interface Example {
  readonly name: string;
  readonly code: string;
}

function examples(): Example[] {
  return readdirSync(pages).flatMap((page) => {
    const text = readFileSync(join(pages, page), 'utf8');
    const blocks = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code = '']) => code);
    return blocks.flatMap((code, i) =>
      code.includes("from 'fam-mirror'") ? [{ name: `${page}, example ${i + 1}`, code }] : [],
    );
  });
}

/** A folder in which `import 'fam-mirror'` finds this package. */
function userFolder(): string {
  const folder = tempFolder('watch-docs');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(project, join(folder, 'node_modules', 'fam-mirror'));
  return folder;
}

describe('docs/watch', () => {
  test.each(examples())('$name runs and tells what happens', async ({ code }) => {
    const folder = userFolder();
    const www = join(folder, 'www');
    const app = join(folder, 'app');
    mkdirSync(www);
    mkdirSync(join(app, '..1'), { recursive: true });
    writeFileSync(join(app, '..1', 'app.conf'), '1');
    const isFollowing = code.includes('followSymlinks');
    symlinkSync('..1', join(app, '..data'));
    if (isFollowing) symlinkSync('..data/app.conf', join(app, 'app.conf'));
    const script = join(folder, 'example.mjs');
    writeFileSync(script, code.replaceAll('/var/www', www).replaceAll('/etc/app', app));
    const child = new Child(process.execPath, [script]);
    // Nothing is lost, so nobody is told of a rescan.
    const expectsOutput = !code.includes('console.error');
    let round = 0;
    await waitFor(
      () => {
        if (child.exit !== undefined && child.exit.code !== 0) throw new Error(child.stderr);
        round++;
        for (const name of ['a.html', 'b.png']) writeFileSync(join(www, name), String(round));
        writeFileSync(join(www, 'program'), '#!/bin/sh\n');
        if (isFollowing) writeFileSync(join(app, '..1', 'app.conf'), String(round));
        else writeFileSync(join(app, 'app.conf'), String(round));
        if (code.includes('executions')) runProgram(folder, www);
        return expectsOutput ? child.stdout !== '' : round > 20;
      },
      { deadlineMs: 30_000, intervalMs: 50, describe: () => `output of the example:\n${child.stderr}` },
    );
    await child.stop('SIGTERM');
    expect(child.stderr).toBe('');
  });
});

function runProgram(folder: string, www: string): void {
  const program = join(www, 'run-me');
  if (!existsSync(program)) {
    writeFileSync(program, '#!/bin/sh\n');
    chmodSync(program, 0o755);
  }
  new Child(program, [], { PATH: folder });
}

describe('docs/examples/fam-mirror-2001.ts', () => {
  test('sends what changes to every replica, as the script of 2001 did', async () => {
    const folder = userFolder();
    const www = join(folder, 'www');
    mkdirSync(join(www, 'news'), { recursive: true });
    writeFileSync(join(www, 'old.html'), 'old');
    // A remote shell for one machine: the host's files lie below a folder of its name.
    const shell = join(folder, 'rsh');
    const lines = [
      '#!/bin/bash',
      'host=$1; shift',
      'last=$#',
      `set -- "\${@:1:last-1}" "${folder}/$host\${!last}"`,
      'exec "$@"',
    ];
    writeFileSync(shell, lines.join('\n'));
    chmodSync(shell, 0o755);
    const source = readFileSync(join(project, 'docs', 'examples', 'fam-mirror-2001.ts'), 'utf8');
    const script = join(folder, 'fam-mirror-2001.mjs');
    writeFileSync(script, transformSync(source, { loader: 'ts', format: 'esm' }).code);
    const hosts = ['web1', 'web2'];
    const child = new Child(process.execPath, [script, www], {
      ...process.env,
      RSYNC_RSH: shell,
      REPLICA_HOSTS: hosts.join(' '),
      INIT_MIRROR: '1',
      CREATE_DIRS: '1',
      DEBUG: '1',
    });
    const everywhere = (name: string, content: string | undefined): Promise<boolean> =>
      waitFor(
        () =>
          hosts.every((host) => {
            const path = join(folder, host, www, name);
            return content === undefined
              ? !existsSync(path)
              : existsSync(path) && readFileSync(path, 'utf8') === content;
          }),
        { deadlineMs: 30_000, describe: () => `${name} on ${hosts.join(' and ')}:\n${child.stderr}` },
      );
    await everywhere('old.html', 'old');
    writeFileSync(join(www, 'news', 'new.html'), 'new');
    await everywhere('news/new.html', 'new');
    renameSync(join(www, 'news'), join(www, 'archive'));
    await everywhere('archive/new.html', 'new');
    await everywhere('news', undefined);
    rmSync(join(www, 'old.html'));
    await everywhere('old.html', undefined);
    await child.stop('SIGTERM');
    expect(child.stderr).toContain('created');
  });
});

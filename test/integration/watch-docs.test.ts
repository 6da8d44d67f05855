// What docs/watch/ and docs/examples/ show does run, and does what it says.

import { execFileSync } from 'node:child_process';
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
  const source = join(project, 'docs', 'examples', 'fam-mirror-2001.ts');
  const hosts = ['web1', 'web2'];

  /** The script at work on a tree with one old file. `on`: what a replica shows of a name, or undefined. */
  function run(environment: NodeJS.ProcessEnv) {
    const folder = userFolder();
    const www = join(folder, 'www');
    mkdirSync(join(www, 'news'), { recursive: true });
    writeFileSync(join(www, 'old.html'), 'old');
    for (const host of hosts) mkdirSync(join(folder, host));
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
    const script = join(folder, 'fam-mirror-2001.mjs');
    writeFileSync(script, transformSync(readFileSync(source, 'utf8'), { loader: 'ts', format: 'esm' }).code);
    const { INIT_MIRROR: _, CREATE_DIRS: __, DEBUG: ___, ...rest } = process.env;
    const settings = { RSYNC_RSH: shell, REPLICA_HOSTS: hosts.join(' '), ...environment };
    const child = new Child(process.execPath, [script, www], { ...rest, ...settings });
    const on = (host: string, name: string): string | undefined => {
      const path = join(folder, host, www, name);
      return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    };
    const until = (what: string, holds: () => boolean): Promise<boolean> =>
      waitFor(
        () => {
          if (child.exit !== undefined) throw new Error(child.stderr);
          return holds();
        },
        { deadlineMs: 30_000, describe: () => `${what}:\n${child.stderr}` },
      );
    const everywhere = (name: string, content: string | undefined): Promise<boolean> =>
      until(`${name} on ${hosts.join(' and ')}`, () => hosts.every((host) => on(host, name) === content));
    return { child, folder, www, on, until, everywhere };
  }

  test('sends what changes to every replica, as the script of 2001 did', async () => {
    const { child, www, everywhere } = run({ INIT_MIRROR: '1', CREATE_DIRS: '1', DEBUG: '1' });
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
    expect(child.stderr).toContain('rsync -a');
  });

  test('without INIT_MIRROR sends changes alone, without CREATE_DIRS makes no folder, without DEBUG is silent', async () => {
    const { child, folder, www, on, until, everywhere } = run({});
    // Only web1 has the folders that lead there.
    mkdirSync(join(folder, 'web1', www), { recursive: true });
    let rounds = 0;
    await until('the new file on web1, and a complaint of web2', () => {
      // Until the script watches, nobody hears of it.
      writeFileSync(join(www, 'new.html'), `round ${++rounds}`);
      return (
        on('web1', 'new.html') !== undefined && child.stderr.includes(`web2: rsync ${www}/new.html ended`)
      );
    });
    expect(on('web1', 'old.html')).toBeUndefined();
    expect(existsSync(join(folder, 'web2', www))).toBe(false);
    expect(child.stderr).not.toMatch(/^(created|changed|rsync -a)/m);
    // Where they are made, the rest works as before.
    mkdirSync(join(folder, 'web2', www), { recursive: true });
    writeFileSync(join(www, 'later.html'), 'later');
    await everywhere('later.html', 'later');
  });

  test('is right for the compiler', () => {
    const tsc = join(project, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
    execFileSync(process.execPath, [tsc, '--ignoreConfig', ...options, source], {
      cwd: project,
      encoding: 'utf8',
    });
  });
});

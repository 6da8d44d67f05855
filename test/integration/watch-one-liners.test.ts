// Every command line of docs/watch/command.md is run as it stands there, and does what it is there for.

import { type ChildProcess, spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { famCommand } from '../support/fam.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { waitFor } from '../support/wait-for.ts';

const page = readFileSync(fileURLToPath(new URL('../../docs/watch/command.md', import.meta.url)), 'utf8');

/** The second column of the table of former commands. */
function tableCommands(): string[] {
  const [, table = ''] = page.split('## Instead of');
  return [...table.matchAll(/^\|.*\| `(.+?)`[^`]*\|$/gm)].map(([, command = '']) =>
    command.replaceAll('\\|', '|'),
  );
}

/** The lines of the first block, without what they say about themselves. */
function blockCommands(): string[] {
  const [, block = ''] = /^```sh\n(.*?)^```$/ms.exec(page) ?? [];
  return block
    .split('\n')
    .map((line) => line.replace(/\s+#.*$/, ''))
    .filter((line) => line !== '');
}

/** A command that runs in a folder `DIR` with a file `FILE` in it; `CMD` writes down what it was called for. */
class Running {
  readonly folder = tempFolder('one-liners');
  readonly dir = join(this.folder, 'tree');
  readonly file = join(this.dir, 'FILE');
  readonly #calls = join(this.folder, 'calls');
  #child: ChildProcess | undefined;
  stdout = '';
  stderr = '';
  code: number | null | undefined;

  constructor(command: string) {
    mkdirSync(join(this.dir, 'deep'), { recursive: true });
    for (const name of ['FILE', 'notes.md', 'main.c', 'a.js']) writeFileSync(join(this.dir, name), '');
    writeFileSync(join(this.dir, 'server.js'), `console.log('serving');setInterval(() => {}, 1000);`);
    const bin = join(this.folder, 'bin');
    mkdirSync(bin);
    symlinkSync(famCommand, join(bin, 'fam'));
    for (const name of ['CMD', 'make']) {
      writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >>${this.#calls}\n`, { mode: 0o755 });
    }
    // A remote shell for one machine: the host's files lie below a folder of its name.
    const shell = join(bin, 'rsh');
    const host = '#!/bin/bash\nhost=$1; shift\nlast=$#\n';
    writeFileSync(shell, `${host}set -- "\${@:1:last-1}" "${this.folder}/$host\${!last}"\nexec "$@"\n`);
    chmodSync(shell, 0o755);
    mkdirSync(join(this.folder, 'web1'));
    const line = command
      .replaceAll('/var/www', this.dir)
      .replace(/\bDIR\b/, this.dir)
      .replace(/\bFILE\b/, this.file);
    const child = spawn('bash', ['-c', line], {
      cwd: this.dir,
      env: { ...process.env, PATH: `${bin}:${process.env['PATH']}`, RSYNC_RSH: shell },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: what the shell has started ends with it.
      detached: true,
    });
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    const ended = new Promise<void>((resolve) =>
      child.once('close', (code) => {
        this.code = code;
        resolve();
      }),
    );
    onTestFinished(async () => {
      if (this.code === undefined && child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
      await ended;
    });
  }

  async watching(): Promise<void> {
    await this.until(() => this.stderr.includes('"event":"watching"'));
  }

  async until(condition: () => boolean): Promise<void> {
    await waitFor(condition, {
      deadlineMs: 30_000,
      describe: () =>
        `pid ${this.#child?.pid}, ended with ${this.code}:\n${this.stdout}\n${this.stderr}\n${this.calls()}`,
    });
  }

  calls(): string[] {
    return existsSync(this.#calls) ? readFileSync(this.#calls, 'utf8').split('\n').slice(0, -1) : [];
  }

  /** Writes to a file of the tree. */
  write(name: string): string {
    const path = join(this.dir, name);
    appendFileSync(path, 'x');
    return path;
  }

  async prints(text: string): Promise<void> {
    await this.until(() => this.stdout.includes(text));
  }

  async calledFor(call: string): Promise<void> {
    await this.until(() => this.calls().includes(call));
  }

  async endsWell(): Promise<void> {
    await this.until(() => this.code !== undefined);
    expect(this.code, this.stderr).toBe(0);
  }
}

/** What each command is there for. */
const purposes: Readonly<Record<string, (running: Running) => Promise<void>>> = {
  'fam watch DIR': async (it) => it.prints(`changed    ${it.write('deep/new')}`),
  'fam watch FILE --once --events changed': async (it) => {
    it.write('notes.md');
    const path = it.write('FILE');
    await it.endsWell();
    expect(it.stdout).toMatch(new RegExp(`^\\S+ changed    ${path}\\n$`));
  },
  'fam watch DIR --no-recursive --once --timeout 10 --events created': async (it) => {
    it.write('deep/not-told');
    const path = it.write('new');
    await it.endsWell();
    expect(it.stdout).toMatch(new RegExp(`^\\S+ created    ${path}.*\\n$`));
  },
  [`fam watch DIR --events changed,moved --exec 'CMD "$FAM_PATH"'`]: async (it) => {
    const path = it.write('upload.part');
    await it.calledFor(`CMD ${path}`);
    renameSync(path, join(it.dir, 'upload'));
    await it.calledFor(`CMD ${join(it.dir, 'upload')}`);
  },
  [`fam watch DIR --filter '!*.swp'`]: async (it) => {
    it.write('text.swp');
    await it.prints(it.write('text'));
    expect(it.stdout).not.toContain('swp');
  },
  'fam watch DIR --once': async (it) => {
    it.write('deep/new');
    await it.endsWell();
    expect(it.stdout.split('\n')).toHaveLength(2);
  },
  'fam watch DIR --exec CMD': async (it) => {
    it.write('deep/new');
    await it.calledFor('CMD ');
  },
  [`fam watch DIR --filter '*.c'`]: async (it) => {
    it.write('deep/new.h');
    await it.prints(it.write('deep/new.c'));
    expect(it.stdout).not.toContain('new.h');
  },
  [`fam watch . --filter '*.c' --exec make`]: async (it) => {
    it.write('main.c');
    await it.calledFor('make ');
    const before = it.calls().length;
    it.write('new.c');
    await it.until(() => it.calls().length > before);
  },
  [`fam watch . --filter '*.js' --restart --exec 'node server.js'`]: async (it) => {
    const starts = (): number => it.stdout.split('serving').length - 1;
    await it.until(() => starts() === 1);
    it.write('a.js');
    await it.until(() => starts() === 2);
  },
  [`fam watch notes.md --exec 'CMD "$FAM_PATH"'`]: async (it) => {
    it.write('main.c');
    await it.calledFor(`CMD ${it.write('notes.md')}`);
    expect(it.calls()).toEqual([`CMD ${join(it.dir, 'notes.md')}`]);
  },
  'fam watch /var/www': async (it) => it.prints(`changed    ${it.write('deep/new')}`),
  [`fam watch /var/www --json | jq --unbuffered -r 'select(.event == "changed").path'`]: async (it) => {
    const path = it.write('page.html');
    await it.until(() => it.stdout === `${path}\n`);
  },
  [`fam watch /var/www --exec 'rsync -aR "$FAM_PATH" web1:/'`]: async (it) => {
    const path = it.write('deep/page.html');
    await it.until(() => existsSync(join(it.folder, 'web1', path)));
  },
};

describe('docs/watch/command.md', () => {
  test('shows no command that is not run here', () => {
    expect([...tableCommands(), ...blockCommands()].sort()).toEqual(Object.keys(purposes).sort());
  });

  test.each(Object.entries(purposes))('%s', async (command, serves) => {
    const running = new Running(command);
    await running.watching();
    await serves(running);
  });
});

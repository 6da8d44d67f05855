// `fam watch` as shells and programs use it.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { WatchEvent } from '../../src/watch/event.ts';
import { mountFileSystem, whyNotMountable } from '../contract/filesystems.ts';
import { Child } from '../support/child.ts';
import { EventModel } from '../support/event-model.ts';
import { famCommand, Mirror, runFam } from '../support/fam.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { waitFor } from '../support/wait-for.ts';

/** Starts it, and waits until it watches. */
async function famWatch(args: readonly string[]): Promise<Child> {
  const child = new Child(process.execPath, [famCommand, 'watch', ...args], process.env, 'SIGTERM');
  await waitFor(
    () => {
      if (child.exit !== undefined) throw new Error(child.stderr);
      return child.stderr.includes('watching ');
    },
    { deadlineMs: 30_000, describe: () => `fam watch is ready:\n${child.stderr}` },
  );
  return child;
}

function output(child: Child, has: (text: string) => boolean): Promise<unknown> {
  return waitFor(() => has(child.stdout), {
    deadlineMs: 20_000,
    describe: () => `output:\n${child.stdout}\n${child.stderr}`,
  });
}

/** Without any privilege. */
function asNobody(args: readonly string[]): Child {
  const command = ['--reuid', '65534', '--clear-groups', process.execPath, famCommand, 'watch', ...args];
  return new Child('setpriv', command, process.env, 'SIGTERM');
}

/** A line of --json as the library has it. */
function eventOfLine(line: string): WatchEvent {
  const { event, ...rest } = JSON.parse(line);
  return { type: event, ...rest };
}

function objects(child: Child): Record<string, unknown>[] {
  return child.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Record<string, unknown> => JSON.parse(line));
}

describe('fam watch', () => {
  test('prints a line an event for people', async () => {
    const root = tempFolder();
    const child = await famWatch([root]);
    mkdirSync(join(root, 'new\nfolder'));
    writeFileSync(join(root, 'file'), '');
    // A file that is gone before anyone looks is told of under its new name alone.
    await output(child, (text) => text.includes('changed'));
    renameSync(join(root, 'file'), join(root, 'moved'));
    await output(child, (text) => text.includes(`${root}/file -> ${root}/moved`));
    expect(child.stdout).toMatch(/^\d\d:\d\d:\d\d created {4}\/.*\/new\\nfolder\/ {2}by \S+ \(\d+\)\n/);
    expect(await child.stop('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  test('says which of the paths is not there yet, and waits for it', async () => {
    const root = tempFolder();
    writeFileSync(join(root, 'here'), '');
    const child = await famWatch([join(root, 'here'), join(root, 'mistyped'), join(root, '*.html')]);
    // No path is a glob: `--filter` takes those.
    for (const name of ['mistyped', '*.html']) {
      const absent = `${root}/${name} is not there: waiting for it`;
      await waitFor(() => child.stderr.includes(absent), { describe: () => child.stderr });
    }
    writeFileSync(join(root, 'mistyped'), '');
    await output(child, (text) => text.includes('mistyped'));
    await child.stop('SIGTERM');
    expect(child.stderr.split('is not there')).toHaveLength(3);
  });

  test('--json prints one object a line: event, path, kind, from, pid, command', async () => {
    const root = tempFolder();
    const child = await famWatch([root, '--json', '--events', 'created,moved,deleted']);
    writeFileSync(join(root, 'a'), '');
    await output(child, (text) => text.includes('created'));
    renameSync(join(root, 'a'), join(root, 'b'));
    await output(child, (text) => text.includes('moved'));
    const by = { pid: process.pid, command: expect.any(String) };
    expect(objects(child)).toEqual([
      { event: 'created', path: join(root, 'a'), kind: 'file', ...by },
      { event: 'moved', path: join(root, 'b'), from: join(root, 'a'), kind: 'file', ...by },
    ]);
  });

  test('--json has the bytes of names that are not UTF-8', async () => {
    const root = tempFolder();
    const child = await famWatch([root, '--json', '--monitor', 'inotify']);
    const [from, to] = ['\xff', '\xfe'].map((name) => Buffer.from(`${root}/${name}`, 'latin1'));
    if (from === undefined || to === undefined) throw new Error('two names');
    writeFileSync(from, '');
    await output(child, (text) => text.includes('"changed"'));
    renameSync(from, to);
    await output(child, (text) => text.includes('"moved"'));
    expect(objects(child).at(-1)).toEqual({
      event: 'moved',
      path: `${root}/\ufffd`,
      pathBase64: to.toString('base64'),
      from: `${root}/\ufffd`,
      fromBase64: from.toString('base64'),
      kind: 'file',
    });
  });

  test('--initial lists what is there, --filter chooses', async () => {
    const root = tempFolder();
    for (const name of ['a.html', 'b.txt']) writeFileSync(join(root, name), '');
    const child = await famWatch([root, '--json', '--initial', '--filter', '*.html']);
    await output(child, (text) => text.includes('endExist'));
    expect(objects(child).map(({ event, path }) => `${event} ${path}`)).toEqual([
      `exists ${root}`,
      `exists ${root}/a.html`,
      `endExist ${root}`,
    ]);
  });

  test('--once ends with the first event, exit 0', async () => {
    const root = tempFolder();
    const child = await famWatch([root, '--once', '--events', 'changed', '--json']);
    writeFileSync(join(root, 'a'), '');
    writeFileSync(join(root, 'b'), '');
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(objects(child)).toHaveLength(1);
  });

  test('--once --timeout gives up with exit code 40', async () => {
    const root = tempFolder();
    const { code, stderr } = await runFam(['watch', root, '--once', '--timeout', '0.3']);
    expect({ code, stderr }).toMatchObject({
      code: 40,
      stderr: expect.stringContaining('no event within 0.3 s'),
    });
  });

  test('a timeout of a month does not give up at once', async () => {
    const root = tempFolder();
    const child = await famWatch([root, '--once', '--timeout', '2592000']);
    writeFileSync(join(root, 'a'), '');
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(child.stderr).not.toContain('TimeoutOverflowWarning');
  });

  test('fam wait names the longest time that it takes', async () => {
    const result = await runFam(['wait', '--timeout', '2592000']);
    expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('86400 (a day) at most') });
  });

  test.each([
    [['--events', 'nonsense'], 2, 'unknown event "nonsense"'],
    [['--timeout', '3'], 2, '--timeout needs --once'],
    [['--restart'], 2, '--restart needs --exec'],
    [['--settle', 'x'], 2, '--settle'],
  ])('%j is refused with code %i', async (args, code, message) => {
    const result = await runFam(['watch', tempFolder(), ...args]);
    expect(result).toMatchObject({ code, stderr: expect.stringContaining(message) });
  });

  test('a path that is not there is refused with code 10', async () => {
    const result = await runFam(['watch', '/nowhere/at/all']);
    expect(result).toMatchObject({ code: 10, stderr: expect.stringContaining('/nowhere/at/all') });
  });

  test.each([
    ['a path below a file', 'file/below', 10, 'what leads there is not a directory'],
    ['a path in a folder that is missing', 'missing/below', 10, 'no such file or directory'],
    ['a folder that it may not read', 'secret', 12, 'no permission'],
    ['a file in a folder that it may not read', 'secret/file', 12, 'no permission', 'secret'],
  ])('%s is refused in words', async (_, name, code, words, about = name) => {
    const root = tempFolder();
    chmodSync(root, 0o755);
    mkdirSync(join(root, 'secret'), { mode: 0o700 });
    writeFileSync(join(root, 'file'), '');
    const child = asNobody([join(root, name)]);
    expect(await child.exited).toEqual({ code, signal: null });
    expect(child.stderr).toBe(`fam: cannot watch ${join(root, about)}: ${words}\n`);
  });

  test('without privilege it says why it is not fanotify, and what below it cannot be watched', async () => {
    const root = tempFolder();
    chmodSync(root, 0o755);
    mkdirSync(join(root, 'secret'), { mode: 0o700 });
    const child = asNobody([root, '--log-format', 'text']);
    await waitFor(() => child.stderr.includes('watching '), { describe: () => child.stderr });
    expect(child.stderr).toContain(
      `watching ${root} (inotify, one watch a directory, because fanotify needs CAP_SYS_ADMIN: run as root)`,
    );
    expect(child.stderr).toContain(`${root}/secret is not watched: EACCES`);
    writeFileSync(join(root, 'file'), '');
    await output(child, (text) => text.includes('changed'));
  });

  test('a reader that has had enough ends it, without a word', async () => {
    const root = tempFolder();
    const script = `"$0" "$1" watch "$2" --json --initial --log-format text | head -1; echo "\${PIPESTATUS[0]}"`;
    for (let i = 0; i < 20_000; i++) writeFileSync(join(root, `file-${i}`), '');
    const child = new Child('bash', ['-c', script, process.execPath, famCommand, root]);
    await child.exited;
    expect(child.stdout).toBe(`{"event":"exists","path":"${root}","kind":"directory"}\n0\n`);
    expect(child.stderr).not.toMatch(/EPIPE|Error/);
  });

  test('--executions tells of programs that start and stop', async () => {
    const root = tempFolder();
    copyFileSync('/bin/true', join(root, 'program'));
    chmodSync(join(root, 'program'), 0o755);
    const types = 'executionStarted,executionStopped';
    const child = await famWatch([root, '--json', '--executions', '--events', types]);
    execFileSync(join(root, 'program'));
    await output(child, (text) => text.includes('executionStopped'));
    const about = { path: join(root, 'program'), pid: expect.any(Number) };
    expect(objects(child)).toMatchObject([
      { event: 'executionStarted', ...about },
      { event: 'executionStopped', ...about },
    ]);
  });

  test('--executions without privilege says what to do: 17', async () => {
    const root = tempFolder();
    chmodSync(root, 0o755);
    const child = asNobody([root, '--executions']);
    expect(await child.exited).toEqual({ code: 17, signal: null });
    expect(child.stderr).toBe('fam: executions cannot be watched: they need CAP_SYS_ADMIN: run as root\n');
  });

  test('a queue that overflows while it stands still is told as a rescan, and nothing is lost', async () => {
    const root = join(tempFolder(), 'tree');
    mkdirSync(join(root, 'folder'), { recursive: true });
    for (const name of ['kept', 'removed']) writeFileSync(join(root, 'folder', name), '');
    const child = await famWatch([root, '--json', '--initial', '--monitor', 'inotify']);
    await output(child, (text) => text.includes('endExist'));
    child.signal('SIGSTOP');
    // fs.inotify.max_queued_events is 16,384; each file is two events and more.
    for (let i = 0; i < 10_000; i++) writeFileSync(join(root, `file-${i}`), `content ${i}`);
    rmSync(join(root, 'folder', 'removed'));
    renameSync(join(root, 'folder'), join(root, 'moved'));
    writeFileSync(join(root, 'moved', 'new'), '');
    child.signal('SIGCONT');
    const model = new EventModel(root);
    let applied = 0;
    await waitFor(
      () => {
        const lines = child.stdout.split('\n').slice(0, -1);
        for (const line of lines.slice(applied)) model.apply(eventOfLine(line));
        applied = lines.length;
        return model.differences().length === 0;
      },
      { deadlineMs: 60_000, intervalMs: 100, describe: () => model.differences().slice(0, 20).join('\n') },
    );
    expect(objects(child)).toContainEqual({ event: 'rescan', path: root, why: 'overflow' });
  });

  test('SIGINT ends it with code 0', async () => {
    const child = await famWatch([tempFolder()]);
    expect(await child.stop('SIGINT')).toEqual({ code: 0, signal: null });
  });

  test.each([
    ['SIGTERM ends it with code 0', [], 0],
    ['--once --timeout ends it with code 40', ['--once', '--timeout', '1', '--events', 'deleted,exists'], 40],
  ])('%s while the reader of its output stands still', async (_, args, code) => {
    const root = tempFolder();
    for (let i = 0; i < 5000; i++) writeFileSync(join(root, `file-${i}`), '');
    // The reader: a pipe that this shell holds open, and does not read.
    const script = 'mkfifo "$0/pipe"; exec 3<>"$0/pipe"; echo $$; exec "$@" >"$0/pipe"';
    const famWatch = [
      process.execPath,
      famCommand,
      'watch',
      root,
      '--json',
      '--initial',
      '--log-format',
      'text',
    ];
    const child = new Child('sh', ['-c', script, tempFolder(), ...famWatch, ...args]);
    await waitFor(() => child.stderr.includes('watching '), { describe: () => child.stderr });
    if (code === 0) child.signal('SIGTERM');
    expect(await child.exited).toEqual({ code, signal: null });
  });

  test('a name that is not UTF-8 can be asked for', async () => {
    const root = tempFolder();
    const script = '"$0" "$1" watch "$2"/$(printf "caf\\351") --once --json --log-format text';
    const child = new Child('sh', ['-c', script, process.execPath, famCommand, root]);
    await waitFor(() => child.stderr.includes('watching '), { describe: () => child.stderr });
    const name = Buffer.from(`${root}/caf\xe9`, 'latin1');
    writeFileSync(name, '');
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(objects(child)).toMatchObject([{ event: 'created', pathBase64: name.toString('base64') }]);
  });

  test('--exec with $FAM_PATH runs once for each name, bytes and newlines included', async () => {
    const root = tempFolder();
    const log = join(tempFolder(), 'log');
    await famWatch([root, '--exec', `printf '%s|%s\\0' "$FAM_EVENT" "$FAM_PATH" >>${log}`]);
    const names = ['plain', 'with space', 'new\nline\n', '\xff'];
    for (const name of names) writeFileSync(Buffer.from(`${root}/${name}`, 'latin1'), 'x');
    const runs = (): string[] => readFileSync(log, 'latin1').split('\0').slice(0, -1).sort();
    await waitFor(() => runs().length === names.length, { describe: 'four runs' });
    expect(runs()).toEqual(names.map((name) => `changed|${root}/${name}`).sort());
  });

  test('--exec without it runs once for all that has changed, names on stdin', async () => {
    const root = tempFolder();
    const child = await famWatch([root, '--exec', 'echo run; cat']);
    for (let i = 0; i < 100; i++) writeFileSync(join(root, `f${i}`), '');
    await output(child, (text) =>
      Array.from({ length: 100 }, (_, i) => `${root}/f${i}\n`).every((name) => text.includes(name)),
    );
    expect(child.stdout.split('run\n').length - 1).toBeLessThan(20);
  });

  test("--once --exec ends with the command's exit code", async () => {
    const root = tempFolder();
    const child = await famWatch([root, '--once', '--exec', 'exit 7']);
    writeFileSync(join(root, 'a'), '');
    expect((await child.exited).code).toBe(7);
  });

  test('a command that fails is told of, and is run again', async () => {
    const root = tempFolder();
    const child = await famWatch([root, '--log-format', 'text', '--exec', 'echo run; exit 3']);
    for (const round of [1, 2]) {
      writeFileSync(join(root, 'a'), 'x');
      await waitFor(
        () => child.stderr.split('warning: echo run; exit 3: ended with code 3').length === 1 + round,
        {
          describe: () => child.stderr,
        },
      );
    }
  });

  test('--restart ends the command and starts it again for each change', async () => {
    const root = tempFolder();
    const child = await famWatch([root, '--restart', '--exec', 'echo start $$; exec sleep 1000']);
    const starts = (): number => child.stdout.split('start').length - 1;
    await output(child, () => starts() === 1);
    writeFileSync(join(root, 'a'), '');
    await output(child, () => starts() === 2);
    appendFileSync(join(root, 'a'), 'x');
    await output(child, () => starts() === 3);
    expect((await child.stop('SIGTERM')).code).toBe(0);
    expect(child.stderr).not.toContain('ended with');
    const pids = [...child.stdout.matchAll(/start (\d+)/g)].map(([, pid]) => Number(pid));
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});

const whyNoFuse = whyNotMountable('fuse');
describe.skipIf(whyNoFuse !== undefined)(
  `a FUSE file system below the tree${whyNoFuse === undefined ? '' : ` (skipped: ${whyNoFuse})`}`,
  () => {
    /** A tree with the file system mounted on its folder `fuse`. */
    function treeWithFuse(): string {
      const root = tempFolder();
      const fuse = mountFileSystem('fuse');
      onTestFinished(() => fuse.unmount());
      const point = join(root, 'fuse');
      mkdirSync(point);
      execFileSync('mount', ['--bind', fuse.path, point]);
      // Nothing to do where the test has unmounted it.
      onTestFinished(() => void spawnSync('umount', ['-l', point]));
      return root;
    }

    test('is named in a warning of fam watch, and so is the monitor that it needs', async () => {
      const root = treeWithFuse();
      const child = await famWatch([root, '--log-format', 'text']);
      await waitFor(() => child.stderr.includes('warning: '), { describe: () => child.stderr });
      expect(child.stderr.split(`warning: ${root}/fuse is a FUSE file system (fuse`)).toHaveLength(2);
      expect(child.stderr).toMatch(/what changes behind it, not through this mount, is not reported/);
      expect(child.stderr.split(`${root}/fuse: inotify, one watch a directory, because fuse`)).toHaveLength(
        2,
      );
      writeFileSync(join(root, 'fuse', 'file'), '');
      await output(child, (text) => text.includes(`changed    ${root}/fuse/file`));
    });

    test("is named once in fam mirror's log, and in fam status; what is written through it is mirrored", async () => {
      const source = treeWithFuse();
      const dest = join(tempFolder(), 'dest');
      const mirror = new Mirror({ source, dests: [dest] });
      await mirror.inSync();
      const said = (condition: string): string[] =>
        mirror.log.filter((line) => line['condition'] === condition).map(({ msg }) => msg);
      await waitFor(() => said('other-monitor').length > 0, { describe: () => mirror.stderr });
      expect(said('unreported')).toEqual([expect.stringContaining(`${source}/fuse is a FUSE file system`)]);
      expect(said('other-monitor')).toEqual([expect.stringContaining(`${source}/fuse: inotify`)]);
      writeFileSync(join(source, 'fuse', 'page.html'), 'page');
      await mirror.barrier();
      expect(readFileSync(join(dest, 'fuse', 'page.html'), 'utf8')).toBe('page');
      const json = await runFam(['status', '--state', mirror.state, '--json']);
      expect(JSON.parse(json.stdout)).toMatchObject({
        monitor: 'fanotify',
        monitorReason: expect.stringContaining('one mark for the whole'),
        warnings: [...said('unreported'), ...said('other-monitor')],
      });
      const { stdout } = await runFam(['status', '--state', mirror.state]);
      expect(stdout).toContain('watched by fanotify: one mark for the whole');
      expect(stdout).toContain(`  warning: ${source}/fuse is a FUSE file system`);
      // Nothing is held open there by a mirror that has nothing to do.
      await waitFor(() => spawnSync('umount', [join(source, 'fuse')]).status === 0, {
        describe: 'the file system to be free',
      });
      await mirror.end();
    });
  },
);

describe("at inotify's limit of watches", () => {
  // In a container of its own, so that nobody else meets the limit.
  const container = ['--user', '--map-root-user', 'sh', '-c'];
  const limited = 'echo 50 >/proc/sys/user/max_inotify_watches; exec "$0" "$@"';

  function treeOf(directories: number): string {
    const root = tempFolder();
    for (let i = 1; i < directories; i++) mkdirSync(join(root, `d${i}`));
    return root;
  }

  test('fam watch says how many there are, how many it needs, and what to do: 17', async () => {
    const args = [...container, limited, process.execPath, famCommand, 'watch', treeOf(80)];
    const child = new Child('unshare', args);
    expect(await child.exited).toEqual({ code: 17, signal: null });
    expect(child.stderr).toMatch(/^fam: the limit of 50 inotify watches .* needs 80, one for each directory/);
    expect(child.stderr).toContain('`sysctl user.max_inotify_watches=256`');
  });

  test('fam mirror says so once, goes on, and tells it in its status', async () => {
    const source = treeOf(80);
    const state = join(tempFolder('state'), 'state');
    const mirror = ['mirror', source, join(tempFolder(), 'dest'), '--state', state, '--log-format', 'text'];
    const args = [...container, limited, process.execPath, famCommand, ...mirror];
    const child = new Child('unshare', args, process.env, 'SIGTERM');
    await waitFor(() => child.stderr.includes('in sync'), {
      deadlineMs: 30_000,
      describe: () => child.stderr,
    });
    const told = 'some folders are not watched: the limit of 50 inotify watches';
    expect(child.stderr.split(told)).toHaveLength(2);
    expect(child.stderr).toContain('this tree needs 80');
    const { stdout } = await runFam(['status', '--state', state]);
    expect(stdout).toContain(told);
    expect(stdout).toContain('watched by inotify, one watch a directory, because fanotify needs');
  });
});

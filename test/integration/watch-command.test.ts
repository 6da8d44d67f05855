// `fam watch` as shells and programs use it.

import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Child } from '../support/child.ts';
import { famCommand, runFam } from '../support/fam.ts';
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
    const pids = [...child.stdout.matchAll(/start (\d+)/g)].map(([, pid]) => Number(pid));
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});

import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Operation } from './operation.ts';
import { parseCommandLine } from './options.ts';
import { type HistoryPlan, loadPlan, planHistory, savePlan, writersOf } from './plan.ts';
import { type ScenarioName, scenarioNames, scenarioOf } from './scenarios/scenario.ts';

const seeds = Array.from({ length: 200 }, (_, n) => n + 1);

function plan(seed: number, scenario?: ScenarioName | 'none'): HistoryPlan {
  const args = ['--seed', `${seed}`, ...(scenario === undefined ? [] : ['--scenario', scenario])];
  return planHistory(parseCommandLine(args).options, seed);
}

function operations({ rounds }: HistoryPlan): Operation[] {
  return rounds.flatMap((round) => round.operations.flat());
}

function digest({ rounds }: HistoryPlan): string {
  return createHash('sha256').update(JSON.stringify(rounds)).digest('hex').slice(0, 16);
}

test('planHistory makes of a seed without a scenario what it made before there were scenarios', () => {
  expect(digest(plan(1, 'none'))).toBe('70f1ed7298171b52');
  expect(digest(plan(8, 'none'))).toBe('42e4eae65d0eabcb');
});

test('scenarioOf leaves most seeds without one, and gives each to some', () => {
  const drawn = seeds.map(scenarioOf);
  expect(drawn.filter((name) => name === undefined).length).toBeGreaterThan(seeds.length / 2);
  expect(new Set(drawn)).toEqual(new Set([undefined, ...scenarioNames]));
  expect(plan(1).scenario).toBe(scenarioOf(1));
});

for (const name of scenarioNames) {
  test(`planHistory makes the same plan of ${name} each time, and a replay file holds it whole`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'fam-torture-plan-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'plan.json');
    savePlan(file, plan(7, name));
    const loaded = loadPlan(file);
    expect(loaded.scenario).toBe(name);
    expect(loaded).toEqual(JSON.parse(JSON.stringify(plan(7, name))));
  });
}

test('loadPlan takes a file of before there were scenarios', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fam-torture-plan-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'old.json');
  const { scenario: _, ...options } = plan(1, 'none').options;
  const round = { operations: [[], [{ do: 'pause', ms: 1 }]], faults: [], snapshot: false };
  writeFileSync(file, JSON.stringify({ options, seed: 1, rounds: [round] }));
  const loaded = loadPlan(file);
  expect(loaded.scenario).toBeUndefined();
  expect(writersOf(loaded)).toBe(3);
});

test('planHistory has hundreds of files too large for a batch in large-files', () => {
  const large = operations(plan(1, 'large-files')).filter(
    (one) => one.do === 'create' && one.size > 128 * 1024,
  );
  expect(large.length).toBeGreaterThan(300);
});

test('planHistory gives busy-files writers of their own, in each round after the first', () => {
  const busy = plan(1, 'busy-files');
  expect(writersOf(busy)).toBe(5);
  const lists = busy.rounds.map((round) => round.operations.filter((list) => list[0]?.do === 'busy').length);
  expect(lists).toEqual([0, 2, 2, 2, 2, 2]);
});

test('planHistory makes holes of terabytes in odd-sizes, and no size that a number cannot hold', () => {
  const sizes = operations(plan(1, 'odd-sizes')).flatMap((one) =>
    one.do === 'sparse' ? [one.size, ...one.at] : [],
  );
  expect(Math.max(...sizes)).toBeGreaterThan(2 ** 40);
  for (const size of sizes) expect(Number.isSafeInteger(size) && size >= 0).toBe(true);
});

test('planHistory makes attributes of tens of kilobytes in large-attributes', () => {
  const sizes = operations(plan(1, 'large-attributes')).flatMap((one) =>
    one.do === 'attributes' ? [one.size] : [],
  );
  expect(Math.max(...sizes)).toBeGreaterThan(60_000);
});

test('planHistory keeps the paths of deep-and-wide below PATH_MAX with what the oracle puts before them', () => {
  const paths = operations(plan(1, 'deep-and-wide')).flatMap((one) => ('path' in one ? [one.path] : []));
  const longest = Math.max(...paths.map((path) => path.length));
  expect(longest).toBeGreaterThan(3500);
  expect(longest).toBeLessThan(4000);
});

test('planHistory has the faults of local-users, moved-source and locked-folders nowhere else', () => {
  const names = (scenario: ScenarioName | 'none'): string[] =>
    seeds
      .slice(0, 20)
      .flatMap((seed) =>
        plan(seed, scenario).rounds.flatMap((round) => round.faults.map(({ name }) => name)),
      );
  const special = ['local-users', 'source-renamed', 'folder-above-renamed', 'lock-folders'];
  expect(names('none').filter((name) => special.includes(name))).toEqual([]);
  expect(names('local-users')).toContain('local-users');
  expect(names('moved-source')).toEqual(expect.arrayContaining(special.slice(1, 3)));
  expect(names('locked-folders')).toContain('lock-folders');
});

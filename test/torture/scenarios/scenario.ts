// scenarios/: what makes some histories different from all others. A seed has one or none (most); a plan names it, and holds everything that it
// led to as operations and faults like any others, so that it is replayed and cut down as they are.
//
// This file: which ones there are, and which seed has which.

import { randomFrom } from '../../support/random.ts';
import { deepAndWide } from './deep-and-wide.ts';
import type { Choose } from './ground.ts';
import { largeAttributes } from './large-attributes.ts';
import { largeFiles } from './large-files.ts';
import { oddSizes } from './odd-sizes.ts';

export const scenarioNames = [
  'large-files',
  'busy-files',
  'odd-sizes',
  'large-attributes',
  'deep-and-wide',
  'local-users',
  'moved-source',
  'locked-folders',
] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export interface Scenario {
  /** One in `every` of a writer's operations is chosen so. */
  readonly operations?: { readonly choose: Choose; readonly every: number };
  /** Names that a writer has made before it prefers to delete. */
  readonly crowded?: number;
  /** There are writers beside the others that keep files busy. */
  readonly isBusy?: boolean;
  /** File systems with more room than usual. */
  readonly isRoomy?: boolean;
  /** The last replica's file system is ext4, which holds less than others: sizes and attributes. */
  readonly isLastSmaller?: boolean;
  /** Faults that come beside the others, and how often each is chosen. */
  readonly faults?: Readonly<Record<string, number>>;
}

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  'large-files': { operations: { choose: largeFiles, every: 2 }, crowded: 700, isRoomy: true },
  'busy-files': { isBusy: true },
  'odd-sizes': { operations: { choose: oddSizes, every: 3 }, isLastSmaller: true },
  'large-attributes': {
    operations: { choose: largeAttributes, every: 4 },
    isRoomy: true,
    isLastSmaller: true,
  },
  'deep-and-wide': { operations: { choose: deepAndWide, every: 12 }, crowded: 700, isRoomy: true },
  'local-users': { faults: { 'local-users': 120 } },
  'moved-source': { faults: { 'source-renamed': 60, 'folder-above-renamed': 60 } },
  'locked-folders': { faults: { 'lock-folders': 120 } },
};

/** So many of ten seeds have a scenario. */
const withScenario = 4;
/** Has nothing to do with what the seed's histories draw. */
const streamOfItsOwn = 0x5ce4a210;

export function scenarioOf(seed: number): ScenarioName | undefined {
  const random = randomFrom(seed ^ streamOfItsOwn);
  if (random() * 10 >= withScenario) return undefined;
  return scenarioNames[Math.floor(random() * scenarioNames.length)];
}

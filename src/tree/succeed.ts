// A root that was promoted since its records were made has been a replica in between (I9).

import * as z from 'zod/mini';
import type { TreeStore } from './store.ts';

const promotedAtKey = 'source/promoted-at';
const promotedAtSchema = z.int();

/**
 * Begins an epoch if other mains were at work since the records were made.
 * @param promotedAt `Inheritance.promotedAt`
 * @returns true: so it is, and what is not in the tree any more has been removed there
 */
export function succeed(store: TreeStore, promotedAt: number): boolean {
  const recordedAt = store.meta(promotedAtKey, promotedAtSchema) ?? 0;
  if (recordedAt === promotedAt) return false;
  if (store.fresh === false) store.raiseEpoch();
  store.setMeta(promotedAtKey, promotedAt);
  return true;
}

import type { Equality } from '../compare.ts';
import type { PeerName } from '../peers/index.ts';
import type { Figure, Trial } from '../trial.ts';

export interface Workload {
  readonly name: string;
  readonly title: string;
  /** How the figures were taken, for the report. */
  readonly method: string;
  readonly peers: readonly PeerName[];
  readonly replicas: readonly number[];
  readonly repeats: number;
  /** A trial that takes longer is ended and counts as failed. */
  readonly limitSeconds: number;
  /** The metric that stands first in tables, plots and ratios. */
  readonly score: string;
  readonly better: 'lower' | 'higher';
  /** More metrics that are shown behind the score. */
  readonly also: readonly string[];
  /** Whom the others' scores are divided by. */
  readonly reference: PeerName;
  run(trial: Trial): Promise<Figure[]>;
}

/** The note of a figure whose trees did not become equal: how many entries differ in what, and some of them. */
export function equalityNote(equality: Equality): { note: string } | Record<string, never> {
  if (equality.ok) return {};
  const counts = Object.entries(equality.residue ?? {}).map(([kind, count]) => `${count} ${kind}`);
  return {
    note: `not identical: ${counts.join(', ') || 'unknown'}; e.g. ${(equality.examples ?? []).slice(0, 3).join(' ')}`,
  };
}

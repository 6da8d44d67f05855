import { burst } from './burst.ts';
import { churn } from './churn.ts';
import { firstSyncs } from './first-sync.ts';
import { largeTrees } from './large-tree.ts';
import { latency } from './latency.ts';
import { outage } from './outage.ts';
import { rename } from './rename.ts';
import { replicas } from './replicas.ts';
import { sameSecond } from './same-second.ts';
import { smallChange } from './small-change.ts';
import { smallInFlight } from './small-in-flight.ts';
import type { Workload } from './workload.ts';

/** In the order in which they run and are reported. */
export const workloads: readonly Workload[] = [
  latency,
  ...firstSyncs,
  burst,
  rename,
  smallChange,
  churn,
  outage,
  ...largeTrees,
  replicas,
  smallInFlight,
  sameSecond,
];

/** By name, or by the start of one: `first-sync` means all three. */
export function workloadsNamed(names: readonly string[]): Workload[] {
  const unknown = names.find((name) => !workloads.some((workload) => workload.name.startsWith(name)));
  if (unknown !== undefined)
    throw new Error(
      `no workload ${unknown}; there are ${workloads.map((workload) => workload.name).join(', ')}`,
    );
  return workloads.filter(
    (workload) => names.length === 0 || names.some((name) => workload.name.startsWith(name)),
  );
}

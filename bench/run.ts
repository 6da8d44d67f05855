import { machineNoise, measureFloors } from './floors.ts';
import type { Lab } from './lab.ts';
import type { Options } from './options.ts';
import { createPeer, type PeerName } from './peers/index.ts';
import { type Run, type Sample, thisMachine } from './record.ts';
import { showMetric } from './report/markdown.ts';
import { type Scale, Trial } from './trial.ts';
import type { Workload } from './workloads/workload.ts';

/** A tenth keeps the shape of each workload. */
const quickFactor = 0.1;

/**
 * Floors, then workload after workload. Within one, trials are interleaved: each repetition goes through all peers,
 * so that a slow quarter of an hour of the machine meets all of them.
 */
export async function runBench(
  lab: Lab,
  options: Options,
  scratch: string,
  commit: string,
  save: (run: Run) => void,
): Promise<Run> {
  const scale: Scale = { quick: options.quick, factor: options.quick ? quickFactor : 1 };
  const run: Run = {
    version: 1,
    date: new Date().toISOString(),
    commit,
    quick: options.quick,
    machine: thisMachine(),
    scratch,
    isolated: lab.isolated,
    versions: {},
    floors: [],
    samples: [],
  };
  if (options.floors) {
    console.error('floors');
    run.floors.push(...(await measureFloors(lab, scale)));
  }
  for (const workload of options.workloads) {
    const peers = options.peers.filter((peer) => workload.peers.includes(peer));
    const repeats =
      options.repeats ?? (options.quick || options.profile !== undefined ? 1 : workload.repeats);
    for (const replicas of options.replicas ?? workload.replicas) {
      for (let repeat = 1; repeat <= repeats; repeat++) {
        for (const peer of peers) {
          run.samples.push(...(await runTrial(lab, workload, peer, replicas, repeat, scale, run.versions)));
          save(run);
        }
      }
    }
  }
  return run;
}

async function runTrial(
  lab: Lab,
  workload: Workload,
  name: PeerName,
  replicas: number,
  repeat: number,
  scale: Scale,
  versions: Record<string, string>,
): Promise<Sample[]> {
  const peer = createPeer(name, lab);
  versions[name] ??= peer.version();
  const common = { workload: workload.name, peer: name, replicas, repeat, ...machineNoise() };
  const trial = new Trial(lab, peer, replicas, scale, workload.limitSeconds);
  try {
    const figures = await workload.run(trial);
    const samples = figures.map((figure) => ({ ...common, ...figure, restarts: peer.restarts() }));
    for (const sample of samples) console.error(progress(workload, sample));
    return samples;
  } catch (error) {
    const note = error instanceof Error ? error.message : String(error);
    const failed: Sample = {
      ...common,
      variant: 'all',
      ok: false,
      metrics: {},
      note,
      restarts: peer.restarts(),
    };
    console.error(progress(workload, failed));
    return [failed];
  } finally {
    await peer.stop();
  }
}

function progress(workload: Workload, sample: Sample): string {
  const shown = [workload.score, ...workload.also].flatMap((name) => {
    const value = sample.metrics[name];
    return value === undefined ? [] : [`${name} ${showMetric(name, value)}`];
  });
  const outcome = sample.ok ? '' : ' FAILED';
  const time = new Date().toISOString().slice(11, 19);
  return `${time} ${workload.name} ${sample.peer} x${sample.replicas} #${sample.repeat} ${sample.variant}:${outcome} ${shown.join(', ')} ${sample.note ?? ''}`.trimEnd();
}

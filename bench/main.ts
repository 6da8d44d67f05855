/**
 * bench: measures fam, its peers and the physical floors in one run. Each file is one idea: `lab` is the hosts,
 * `peers/` start and stop what is measured, `workloads/` measure it, `report/` writes what was found.
 * May import: itself and commander. It starts fam as a user would, by its command line.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Lab } from './lab.ts';
import { benchPath, type Options, parseOptions } from './options.ts';
import { ProfileFolder } from './profile.ts';
import { saveRun } from './record.ts';
import { writeReport } from './report/report.ts';
import { runBench } from './run.ts';

const options = parseOptions(process.argv.slice(2));
const inside = process.env['FAM_BENCH_INSIDE'];
process.exitCode = inside === undefined ? await launch(options) : await work(options, inside === 'namespace');

/**
 * Runs this program again inside private name spaces: loopback counters and CPU sums then hold nothing but the run,
 * nothing can leave the machine, and everything dies with it. Without root: on the host as it is.
 */
async function launch(launchOptions: Options): Promise<number> {
  const scratch = mkdtempSync(`${launchOptions.scratch}/fam-bench.`);
  const flags = ['--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const isolated =
    launchOptions.namespace &&
    process.getuid?.() === 0 &&
    spawnSync('unshare', [...flags, 'true']).status === 0;
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  // A shell as the name space's first process: it reaps orphans, so that their CPU time is not lost.
  const command = isolated ? ['unshare', ...flags, 'sh', '-c', '"$@"; exit $?', 'sh', ...self] : self;
  const [name = '', ...args] = command;
  const environment = {
    ...process.env,
    FAM_BENCH_INSIDE: isolated ? 'namespace' : 'host',
    FAM_BENCH_SCRATCH: scratch,
  };
  const child = spawn(name, args, { stdio: 'inherit', env: environment });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  try {
    return await new Promise((resolve) => {
      child.once('exit', (code) => {
        resolve(code ?? 1);
      });
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function work(workOptions: Options, isolated: boolean): Promise<number> {
  const scratch = process.env['FAM_BENCH_SCRATCH'] ?? '';
  const profile =
    workOptions.profile === undefined
      ? undefined
      : new ProfileFolder(benchPath(`profiles/${workOptions.profile}`));
  const lab = new Lab({
    scratch,
    isolated,
    fileSystem: workOptions.fileSystem,
    nodeFolder: profile?.nodeFolder,
  });
  try {
    const label = `${workOptions.scratch}${isolated && workOptions.fileSystem ? ` (${workOptions.fileSystem})` : ''}`;
    const name = runName(workOptions);
    mkdirSync(workOptions.results, { recursive: true });
    const path = `${workOptions.results}/${name}.json`;
    const run = await runBench(lab, workOptions, label, commit(), (sofar) => {
      if (!profile) saveRun(path, sofar);
    });
    if (profile) profile.render();
    else writeReport(workOptions, name, run);
    return run.samples.some((sample) => sample.peer === 'fam' && !sample.ok) ? 1 : 0;
  } finally {
    await lab.close();
    keepLogs(lab);
  }
}

function runName(nameOptions: Options): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(':', '').replace('T', '-');
  return `${time}${nameOptions.quick ? '-quick' : ''}`;
}

function commit(): string {
  const done = spawnSync('git', ['describe', '--always', '--dirty'], {
    cwd: benchPath('.'),
    encoding: 'utf8',
  });
  return done.stdout.trim() || 'unknown';
}

/** The scratch goes; what the peers said may be needed to understand a failure. */
function keepLogs(lab: Lab): void {
  if (!existsSync(lab.logs)) return;
  const kept = benchPath('profiles/last-logs');
  rmSync(kept, { recursive: true, force: true });
  mkdirSync(benchPath('profiles'), { recursive: true });
  execFileSync('cp', ['-r', lab.logs, kept]);
  writeFileSync(`${kept}/README`, 'What sshd and the peers printed in the last run of the bench.\n');
}

import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { flameGraph, isWaiting, type Profile, parseProfile, selfTimes } from './report/flame-graph.ts';

/**
 * CPU profiles of every node process of fam, source and agents alike. `--cpu-prof` is not allowed in NODE_OPTIONS, so a
 * `node` that adds it is put first in the PATH of both sides; each process and each of its threads leaves one file when it ends.
 */
export class ProfileFolder {
  readonly nodeFolder: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.nodeFolder = `${folder}/bin`;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(this.nodeFolder, { recursive: true });
    const node = `exec ${process.execPath} --cpu-prof --cpu-prof-interval 200 --cpu-prof-dir=${folder}`;
    this.#script('node', `${node} "$@"`);
    // An agent finds fam installed on its host: the one-file agent is minified, its functions have no names.
    const fam = new URL('../../bin/fam', import.meta.url).pathname;
    this.#script('fam', `${node} ${fam} "$@"`);
  }

  /** Beside each profile an SVG flame graph; a table of where the time went, for each process and thread. */
  render(): void {
    const lines: string[] = [];
    for (const file of readdirSync(this.#folder)
      .filter((name) => name.endsWith('.cpuprofile'))
      .toSorted()) {
      const path = `${this.#folder}/${file}`;
      const profile = parseProfile(readFileSync(path, 'utf8'));
      const role = roleOf(profile);
      // A short helper (`--version`, the agent's greeting) tells nothing.
      if (role === undefined) {
        rmSync(path);
        continue;
      }
      const name = `${role}-${file.replace(/^CPU\.\d+\.\d+\./, '').replace('.cpuprofile', '')}`;
      renameSync(path, `${this.#folder}/${name}.cpuprofile`);
      const title = `${name}: ${busySeconds(profile).toFixed(2)} s busy`;
      writeFileSync(`${this.#folder}/${name}.svg`, flameGraph(profile, title));
      lines.push(`## ${name}`, '', ...table(profile), '');
    }
    writeFileSync(`${this.#folder}/self-time.md`, lines.join('\n'));
    console.log(lines.join('\n'));
    console.log(`profiles: ${this.#folder}`);
  }

  #script(name: string, command: string): void {
    writeFileSync(`${this.nodeFolder}/${name}`, `#!/bin/sh\n${command}\n`);
    chmodSync(`${this.nodeFolder}/${name}`, 0o755);
  }
}

/** What only one kind of process or thread runs, by the files of its functions. */
const roles = [
  ['source/tree-worker', 'source-tree'],
  ['source/reader-worker', 'source-reader'],
  ['mirror/mirror', 'source-main'],
  ['replica/sync-thread', 'agent-sync'],
  ['replica/applier-thread', 'agent-applier'],
  ['replica/agent', 'agent-main'],
] as const;

function roleOf(profile: Profile): string | undefined {
  const names = [...selfTimes(profile).keys()];
  return roles.find(([file]) =>
    names.some((name) => name.includes(` ${file}.js`) || name.includes(` ${file}.cjs`)),
  )?.[1];
}

const shown = 25;

function table(profile: Profile): string[] {
  const busy = busySeconds(profile);
  const rows = [...selfTimes(profile)]
    .filter(([name]) => !isWaiting(name))
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, shown)
    .map(
      ([name, seconds]) =>
        `| ${(seconds * 1000).toFixed(0)} | ${((seconds / busy) * 100).toFixed(1)} % | ${name} |`,
    );
  return [`${busy.toFixed(2)} s busy`, '', '| self ms | share | function |', '|---:|---:|---|', ...rows];
}

function busySeconds(profile: Profile): number {
  let seconds = 0;
  for (const [name, time] of selfTimes(profile)) if (!isWaiting(name)) seconds += time;
  return seconds;
}

// Brings a checkout to the point where `fam` runs: dependencies installed, dist/ newer than src/.
// Only what is missing or stale is done, so calling it always is cheap. Plain Node: it runs before anything is installed.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Written when a build has succeeded; its mtime is when that build began. */
const builtStamp = join(root, 'dist', '.built');

/** Runs a program to its end with its output on stderr (stdout belongs to the command itself). */
export function run(command, args) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (error) throw error;
  return signal ? 1 : status;
}

/** What a person has to see to, in one line. */
class SetupError extends Error {}

function mustRun(what, command, args) {
  if (run(command, args) === 0) return;
  throw new SetupError(`${what} failed: ${command} ${args.join(' ')} (in ${root})`);
}

/** Does a step of a script; when it fails, says why in one line and returns false. */
export function succeeds(step) {
  try {
    step();
    return true;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`fam: ${error.message}`);
    return false;
  }
}

/** True when node_modules holds exactly the versions of the lockfile (packages for other platforms aside). */
function isInstalled() {
  const installedFile = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' || (installed[path] ? installed[path].version === entry.version : entry.optional === true),
  );
}

export function ensureInstalled() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupError(`Node >= 20.19 is needed; this is ${process.version}`);
  }
  if (isInstalled()) return;
  console.error('fam: installing dependencies (npm ci --ignore-scripts)');
  mustRun('installing dependencies', 'npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit']);
}

/** Latest mtime below a path, in milliseconds; a folder's own counts, so that a deleted file is noticed. */
function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return readdirSync(path).reduce((latest, name) => Math.max(latest, newest(join(path, name))), stat.mtimeMs);
}

function isBuilt() {
  const stamp = statSync(builtStamp, { throwIfNoEntry: false });
  if (!stamp || !existsSync(join(root, 'dist', 'cli', 'main.js'))) return false;
  const inputs = [
    'src',
    'tsconfig.json',
    'package-lock.json',
    'scripts/build-agent.mjs',
    'scripts/bundle.mjs',
    'scripts/addon-loaders.mjs',
    'scripts/lazy-builtins.mjs',
  ];
  return inputs.every((input) => newest(join(root, input)) < stamp.mtimeMs);
}

/** Removes from dist/ what tsc, and what the bundler made of it, once wrote for a source that has gone since. */
function pruneOutputs(folder) {
  for (const entry of readdirSync(join(root, 'dist', folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) pruneOutputs(path);
    const output = /^(.*)\.d\.ts$/.exec(path);
    if (!output || existsSync(join(root, 'src', `${output[1]}.ts`))) continue;
    for (const ending of ['d.ts', 'js', 'js.map', 'cjs', 'cjs.map'])
      rmSync(join(root, 'dist', `${output[1]}.${ending}`), { force: true });
  }
}

/** `npm run build`: tsc, then bundles of what is started often, and the one-file agent that is copied to hosts without fam. */
export function build() {
  const began = new Date();
  mustRun('the build', process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']);
  pruneOutputs('');
  mustRun('bundling', process.execPath, ['scripts/bundle.mjs']);
  mustRun('bundling the agent', process.execPath, ['scripts/build-agent.mjs']);
  writeFileSync(builtStamp, '');
  utimesSync(builtStamp, began, began);
}

export function ensureBuilt() {
  ensureInstalled();
  if (isBuilt()) return;
  console.error('fam: building');
  build();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const isForced = process.argv[2] === '--force';
  const step = () => {
    ensureInstalled();
    if (isForced) build();
    else ensureBuilt();
  };
  process.exitCode = succeeds(step) ? 0 : 1;
}

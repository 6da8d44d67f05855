// How an agent comes to run on a host that has only sh and, with luck, Node.js.
//
// One line for the login shell there, whichever it is (sh, bash, dash, zsh, fish, csh): `exec sh -c '...'`. What is
// between the quotes holds no single quote, no `!` (csh), no newline (csh), no doubled backslash (fish). It
//  1. runs an installed `fam` that speaks our protocol, else
//  2. tries each node it knows of until one is new enough, with a bootstrap in JavaScript (base64 on the command line) that
//     looks for the agent in the cache folder, or asks for it (marker `up`) and reads it from stdin: u32 length, bytes;
//     what it runs has the sha256 that the command line names, in a folder that is ours alone; agents that nobody has
//     started for long go; else
//  3. exits with `nodeMissing`.
// stdin and stdout then belong to the agent.

import { protocolVersion } from '../wire/messages.ts';

/** What `fam agent --protocol` prints. */
export const protocolLine = `fam-agent ${protocolVersion}`;

/** Exit code of the bootstrap under a Node.js that is too old (the next candidate is tried), and when none is left. */
export const nodeMissing = 98;

/** An agent that nobody has started for so long was brought by another version of fam: it is brought again if ever needed. */
const unusedDays = 30;

/** Runs under any Node.js since 12; plain CommonJS. process.argv: node, this (base64), version, sha256, encoded path. */
const bootstrapSource = `
const fs = require("fs"), path = require("path"), os = require("os"), crypto = require("crypto");
const [, , version, sha256, root] = process.argv;
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(process.execPath + " is Node.js " + process.version + ", too old for fam (needs >= 20.19)");
  process.exit(${nodeMissing});
}
const uid = process.getuid();
const fail = (why) => { console.error("fam: " + why); process.exit(24); };
const ours = (stat) => stat.uid === uid && (stat.mode & 0o022) === 0;
const hash = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");
const wait = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
function read(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length;) {
    let got;
    try { got = fs.readSync(0, bytes, at, length - at, null); }
    catch (error) { if (error.code !== "EAGAIN") throw error; wait(); continue; }
    if (got === 0) process.exit(0);
    at += got;
  }
  return bytes;
}
function folder() {
  const cache = process.env.XDG_CACHE_HOME || path.join(process.env.HOME || os.homedir(), ".cache");
  const failures = [];
  for (const place of [path.join(cache, "fam"), "/var/tmp/fam-agent-" + uid]) {
    try {
      fs.mkdirSync(place, { recursive: true, mode: 0o700 });
      const stat = fs.lstatSync(place);
      if (!stat.isDirectory() || !ours(stat)) throw new Error(place + " is not a folder that is yours alone");
      fs.accessSync(place, fs.constants.W_OK);
      return place;
    } catch (error) { failures.push(error.message); }
  }
  fail("no place for the agent: " + failures.join("; "));
}
const file = path.join(folder(), "agent-" + version + "-" + sha256.slice(0, 16) + ".cjs");
function intact() {
  let fd;
  try { fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW); } catch { return false; }
  try { return ours(fs.fstatSync(fd)) && hash(fs.readFileSync(fd)) === sha256; } finally { fs.closeSync(fd); }
}
if (!intact()) {
  fs.writeSync(1, String.fromCharCode(0) + "FAMup" + String.fromCharCode(13, 10));
  const length = read(4).readUInt32BE(0);
  if (length > 64 * 1024 * 1024) fail("an agent of " + length + " bytes is too large");
  const code = read(length);
  if (hash(code) !== sha256) fail("the agent arrived damaged");
  const temp = file + "." + process.pid;
  try {
    fs.writeFileSync(temp, code, { flag: "wx", mode: 0o700 });
    fs.renameSync(temp, file);
  } catch (error) { try { fs.unlinkSync(temp); } catch {} fail("the agent cannot be stored: " + error.message); }
}
try {
  const now = Date.now() / 1000;
  fs.utimesSync(file, now, now);
  for (const name of fs.readdirSync(path.dirname(file))) {
    const other = path.join(path.dirname(file), name);
    if (/^agent-.+[.]cjs$/.test(name) && fs.lstatSync(other).mtimeMs / 1000 < now - ${unusedDays} * 86400) fs.unlinkSync(other);
  }
} catch {}
process.argv = [process.argv[0], file, "agent", "--encoded", root];
try { require(file); } catch (error) { fail((error && error.stack) || String(error)); }
`;

/** Where Node.js is found when PATH does not lead to it: non-interactive shells read few start-up files. */
const nodePlaces = [
  'node',
  'nodejs',
  '/usr/local/bin/node',
  '/opt/node/bin/node',
  '"$HOME"/.local/bin/node',
  '"$HOME"/.nvm/versions/node/*/bin/node',
  '"$HOME"/.volta/bin/node',
];

export interface AgentVersion {
  /** fam's version, for the file's name. */
  readonly version: string;
  /** Of the bundle, hex. */
  readonly sha256: string;
}

/** The remote command line that starts an agent for the encoded path. */
export function remoteCommand(agent: AgentVersion, encodedRoot: string): string {
  const source = bootstrapSource.replace(/^\s+/gm, '');
  const base64 = Buffer.from(source).toString('base64');
  const script = [
    `if [ "$(fam agent --protocol 2>/dev/null </dev/null)" = "${protocolLine}" ]`,
    `then exec fam agent --encoded ${encodedRoot}`,
    'fi',
    `for node in ${nodePlaces.join(' ')}`,
    'do command -v "$node" >/dev/null 2>&1 || continue',
    `"$node" -e "eval(Buffer.from(process.argv[1],/base64/.source).toString())" ${base64} ${agent.version} ${agent.sha256} ${encodedRoot}`,
    'status=$?',
    `[ $status -eq ${nodeMissing} ] || exit $status`,
    'done',
    `exit ${nodeMissing}`,
  ].join('; ');
  return `exec sh -c '${script.replaceAll('do; ', 'do ').replaceAll('then; ', 'then ')}'`;
}

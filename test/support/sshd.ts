// A real sshd on loopback with keys that are thrown away: what a test of anything over ssh talks to.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { freePort } from './free-port.ts';
import { runningProcesses } from './processes.ts';

export interface SshdOptions {
  /** Environment of every session; PATH has this Node.js unless said otherwise. */
  readonly env?: Readonly<Record<string, string>>;
  /** Lines for sshd_config (`ForceCommand ...`), before ours: sshd obeys the first. */
  readonly config?: readonly string[];
  /** Whose end ends it: the running test (default), or the caller by `dispose` (in beforeAll). */
  readonly until?: 'test-finished' | 'dispose';
}

/** Listens on a free port of 127.0.0.1 and lets the holder of its key in as the user that runs the test. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const sshd = new Sshd(await freePort(), options);
  if (options.until !== 'dispose') onTestFinished(() => sshd.dispose());
  await sshd.start();
  return sshd;
}

export class Sshd {
  readonly port: number;
  /** Keys and configuration; removed by `dispose`. */
  readonly folder: string;
  /** For `ssh -F`: every host name leads here, and no question is asked. */
  readonly configFile: string;
  /** For `--rsh`. */
  readonly rsh: string;
  /** What it has said. */
  log = '';
  #process: ChildProcess | undefined;

  constructor(port: number, options: SshdOptions) {
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), 'fam-sshd-'));
    this.configFile = join(this.folder, 'ssh_config');
    this.rsh = `ssh -F ${this.configFile}`;
    this.#write(options);
  }

  /** Listens, again after `stop`. */
  async start(): Promise<void> {
    // sshd refuses to start without its privilege separation folder (compiled in).
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    // It executes itself again for each connection and insists on an absolute path.
    const sshd = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', join(this.folder, 'sshd_config')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process = sshd;
    sshd.stderr.setEncoding('utf8');
    const before = this.log.length;
    await new Promise<void>((resolve, reject) => {
      sshd.stderr.on('data', (text: string) => {
        this.log += text;
        if (this.log.includes('Server listening on', before)) resolve();
      });
      sshd.once('error', reject);
      sshd.once('exit', () => reject(new Error(`sshd did not start: ${this.log}`)));
    });
  }

  /** As a host that goes down: nobody listens, and every connection breaks. */
  async stop(): Promise<void> {
    const sshd = this.#process;
    this.#process = undefined;
    if (sshd === undefined || sshd.exitCode !== null || sshd.signalCode !== null) return;
    const connections = runningProcesses().filter(({ parent }) => parent === sshd.pid);
    const exit = new Promise((resolve) => sshd.once('exit', resolve));
    sshd.kill('SIGTERM');
    await exit;
    for (const { pid } of connections) killIfThere(pid);
  }

  async dispose(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #write({ env, config = [] }: SshdOptions): void {
    const file = (name: string) => join(this.folder, name);
    for (const key of ['host', 'user']) {
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', `fam-test-${key}`, '-f', file(key)]);
    }
    const publicKey = (key: string) => readFileSync(file(`${key}.pub`), 'utf8');
    writeFileSync(file('authorized_keys'), publicKey('user'), { mode: 0o600 });
    writeFileSync(file('known_hosts'), `fam-test ${publicKey('host')}`);
    // SHLVL keeps bash from reading ~/.bashrc as it does when a network daemon starts it.
    const all = { SHLVL: '3', PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`, ...env };
    const setEnv = Object.entries(all).map(([name, value]) => `"${name}=${value}"`);
    const sshdLines = [
      ...config,
      `Port ${this.port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${file('host')}`,
      `AuthorizedKeysFile ${file('authorized_keys')}`,
      'PidFile none',
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin yes',
      'MaxStartups 100',
      `SetEnv ${setEnv.join(' ')}`,
    ];
    const sshLines = [
      'Host *',
      'HostName 127.0.0.1',
      `Port ${this.port}`,
      `IdentityFile ${file('user')}`,
      'IdentitiesOnly yes',
      'IdentityAgent none',
      'HostKeyAlias fam-test',
      `UserKnownHostsFile ${file('known_hosts')}`,
      'GlobalKnownHostsFile /dev/null',
      'StrictHostKeyChecking yes',
    ];
    writeFileSync(file('sshd_config'), `${sshdLines.join('\n')}\n`);
    writeFileSync(this.configFile, `${sshLines.join('\n')}\n`);
  }
}

/** The connections' processes survive the listener. */
function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has gone by itself.
  }
}

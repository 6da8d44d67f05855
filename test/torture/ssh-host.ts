// A host of its own for replicas: a network namespace with a real sshd in it, behind a link that can be unplugged.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Sshd } from '../support/sshd.ts';
import { LinkProxy } from './link-proxy.ts';

const sshPort = 22;

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export class SshHost {
  /** For `fam mirror -e`. */
  readonly rsh: string;
  readonly proxy: LinkProxy;
  readonly #name: string;
  readonly #sshd: Sshd;
  readonly #server: ChildProcess;
  readonly #cache: string;

  private constructor(name: string, sshd: Sshd, server: ChildProcess, cache: string, proxy: LinkProxy) {
    this.#name = name;
    this.#sshd = sshd;
    this.#server = server;
    this.#cache = cache;
    this.proxy = proxy;
    // The last `Host *` line of a file loses against the command line (ssh_config(5)).
    this.rsh = `ssh -F ${sshd.configFile} -o HostName=127.0.0.1 -o Port=${proxy.port} -o SendEnv=FAM_KILL_AT`;
  }

  static async start(): Promise<SshHost> {
    // Interface names have 15 bytes; addresses are taken from the process id, so that campaigns can run side by side.
    const name = `famt${process.pid}`;
    const net = `10.${100 + (process.pid % 100)}.${Math.floor(process.pid / 100) % 250}`;
    const cache = mkdtempSync(join(tmpdir(), 'fam-torture-cache-'));
    const sshd = new Sshd(sshPort, {
      env: { XDG_CACHE_HOME: cache },
      config: [`ListenAddress ${net}.2`, 'AcceptEnv FAM_KILL_AT'],
      until: 'dispose',
    });
    ip('netns', 'add', name);
    ip('link', 'add', `${name}a`, 'type', 'veth', 'peer', 'name', `${name}b`, 'netns', name);
    ip('addr', 'add', `${net}.1/30`, 'dev', `${name}a`);
    ip('link', 'set', `${name}a`, 'up');
    ip('-n', name, 'addr', 'add', `${net}.2/30`, 'dev', `${name}b`);
    ip('-n', name, 'link', 'set', `${name}b`, 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const server = spawn(
      'ip',
      ['netns', 'exec', name, '/usr/sbin/sshd', '-D', '-e', '-f', join(sshd.folder, 'sshd_config')],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    await new Promise<void>((resolve, reject) => {
      let said = '';
      server.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes('Server listening')) resolve();
      });
      server.once('exit', () => reject(new Error(`sshd did not start: ${said}`)));
    });
    return new SshHost(name, sshd, server, cache, await LinkProxy.start(`${net}.2`, sshPort));
  }

  /** Pulls the cable, or plugs it in again. Connections know nothing of it. */
  plug(isIn: boolean): void {
    ip('link', 'set', `${this.#name}a`, isIn ? 'up' : 'down');
  }

  async close(): Promise<void> {
    await this.proxy.close();
    const exit = new Promise((resolve) => this.#server.once('exit', resolve));
    this.#server.kill('SIGTERM');
    await exit;
    ip('netns', 'del', this.#name);
    rmSync(this.#cache, { recursive: true, force: true });
    await this.#sshd.dispose();
  }
}

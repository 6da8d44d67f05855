import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, closeSync, copyFileSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { descendants } from './counters.ts';
import { pause } from './pause.ts';

/** In a net name space of our own every port is free; outside of one these are unlikely to be taken. */
const firstPort = 42_200;
export const maxReplicas = 16;

export type FileSystem = 'tmpfs' | 'ext4' | 'xfs' | 'btrfs';

export interface LabOptions {
  readonly scratch: string;
  /** True inside private net, pid and mount name spaces. */
  readonly isolated: boolean;
  /** A file system of its own for the source and each replica; undefined: plain folders in the scratch. */
  readonly fileSystem: FileSystem | undefined;
  /** A folder whose `node` is to be found first by the source and by the agents (profiling). */
  readonly nodeFolder: string | undefined;
}

/**
 * The hosts of a run, on one machine: a file system for the source and one for each replica, and a throw-away sshd
 * per replica on loopback, with keys made for this run.
 */
export class Lab {
  readonly isolated: boolean;
  readonly scratch: string;
  readonly logs: string;
  readonly source: string;
  readonly nodeFolder: string | undefined;
  readonly #ssh: string;
  readonly #fileSystem: FileSystem | undefined;
  readonly #servers = new Map<number, ChildProcess>();
  readonly #mounted = new Set<string>();

  constructor(options: LabOptions) {
    this.isolated = options.isolated;
    this.scratch = options.scratch;
    this.logs = `${options.scratch}/logs`;
    this.#ssh = `${options.scratch}/ssh`;
    this.#fileSystem = options.isolated ? options.fileSystem : undefined;
    this.nodeFolder = options.nodeFolder;
    for (const folder of [this.logs, this.#ssh, this.sshFolder(), this.sshFolder(true)])
      mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (options.isolated) prepareNamespace();
    this.#writeSshFiles();
    this.source = `${this.#home('source')}/tree`;
  }

  get fileSystem(): string {
    return this.#fileSystem ?? 'as the scratch folder';
  }

  /** The root of replica `index`, on a file system of its own; not yet created. */
  replica(index: number): string {
    return `${this.#home(this.host(index))}/tree`;
  }

  host(index: number): string {
    return `replica${index}`;
  }

  sshConfig(shared: boolean): string {
    return `${this.#ssh}/config${shared ? '-shared' : ''}`;
  }

  /** A command without arguments that is ssh with this lab's configuration. */
  sshCommand(shared = false): string {
    return `${this.sshFolder(shared)}/ssh`;
  }

  async startServers(count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      if (!this.#servers.has(index)) await this.serverUp(index);
    }
  }

  async serverUp(index: number): Promise<void> {
    const log = openSync(`${this.logs}/sshd${index}.log`, 'a');
    const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', `${this.#ssh}/sshd${index}.conf`], {
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    this.#servers.set(index, child);
    const end = Date.now() + 5000;
    while (!(await accepts(firstPort + index))) {
      if (Date.now() > end)
        throw new Error(`sshd ${index} did not come up: see ${this.logs}/sshd${index}.log`);
      await pause(10);
    }
  }

  /** As a host that loses power: the sshd and every process of its sessions end at once. */
  async serverDown(index: number): Promise<void> {
    const server = this.#servers.get(index);
    this.#servers.delete(index);
    if (server?.pid === undefined) return;
    const gone = new Promise((resolve) => server.once('exit', resolve));
    for (const pid of [server.pid, ...descendants(server.pid)]) kill(pid);
    await gone;
  }

  /** A folder that holds nothing but that command, for a PATH: some peers run plain `ssh`, whatever they are told. */
  sshFolder(shared = false): string {
    return `${this.scratch}/bin/${shared ? 'shared' : 'plain'}`;
  }

  /** Ends the ssh masters that `ControlMaster` left behind. */
  endSharedConnections(count: number): void {
    for (let index = 0; index < count; index++)
      spawnSync(this.sshCommand(true), ['-O', 'exit', this.host(index)]);
  }

  async close(): Promise<void> {
    for (const index of [...this.#servers.keys()]) await this.serverDown(index);
    for (const path of this.#mounted) spawnSync('umount', ['-l', path]);
  }

  /** A folder, or a mounted file system, that stands for one host's disk. */
  #home(name: string): string {
    const path = `${this.scratch}/${name}`;
    if (this.#mounted.has(path) || (this.#fileSystem === undefined && existsSync(path))) return path;
    mkdirSync(path, { recursive: true });
    if (this.#fileSystem === undefined) return path;
    if (this.#fileSystem === 'tmpfs')
      run('mount', ['-t', 'tmpfs', '-o', 'size=90%,nr_inodes=0,mode=0755', name, path]);
    else this.#mountImage(this.#fileSystem, path);
    this.#mounted.add(path);
    return path;
  }

  #mountImage(fileSystem: 'ext4' | 'xfs' | 'btrfs', path: string): void {
    const image = `${path}.image`;
    run('truncate', ['-s', '12G', image]);
    const quick = {
      ext4: ['-q', '-E', 'lazy_itable_init=1,lazy_journal_init=1', '-i', '4096'],
      xfs: ['-q'],
      btrfs: ['-q'],
    };
    run(`mkfs.${fileSystem}`, [...quick[fileSystem], image]);
    run('mount', ['-o', 'loop', image, path]);
    chmodSync(path, 0o755);
  }

  #writeSshFiles(): void {
    const folder = this.#ssh;
    for (const key of ['host_key', 'id']) {
      if (!existsSync(`${folder}/${key}`))
        run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', `${folder}/${key}`]);
    }
    copyFileSync(`${folder}/id.pub`, `${folder}/authorized_keys`);
    for (const shared of [false, true]) {
      const hosts = Array.from({ length: maxReplicas }, (_, index) => this.#hostBlock(index, shared));
      writeFileSync(this.sshConfig(shared), hosts.join('\n'));
      writeFileSync(
        this.sshCommand(shared),
        `#!/bin/sh\nexec /usr/bin/ssh -F ${this.sshConfig(shared)} "$@"\n`,
      );
      chmodSync(this.sshCommand(shared), 0o755);
    }
    for (let index = 0; index < maxReplicas; index++)
      writeFileSync(`${folder}/sshd${index}.conf`, this.#serverConfig(index));
  }

  #hostBlock(index: number, shared: boolean): string {
    const lines = [
      `Host ${this.host(index)}`,
      'HostName 127.0.0.1',
      `Port ${firstPort + index}`,
      `IdentityFile ${this.#ssh}/id`,
      'IdentitiesOnly yes',
      'BatchMode yes',
      'StrictHostKeyChecking no',
      `UserKnownHostsFile ${this.#ssh}/known_hosts`,
      'GlobalKnownHostsFile /dev/null',
      'LogLevel ERROR',
      'ConnectTimeout 5',
      'ServerAliveInterval 5',
    ];
    if (shared) lines.push('ControlMaster auto', `ControlPath ${this.#ssh}/m-%n`, 'ControlPersist 60');
    return `${lines.join('\n  ')}\n`;
  }

  /** SHLVL keeps bash from sourcing ~/.bashrc in each ssh command: a slow one would be measured, not the peer. */
  #serverConfig(index: number): string {
    const cache = `XDG_CACHE_HOME=${this.scratch}/cache${index}`;
    const path =
      this.nodeFolder === undefined
        ? ''
        : ` "PATH=${this.nodeFolder}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"`;
    return [
      'ListenAddress 127.0.0.1',
      `Port ${firstPort + index}`,
      `HostKey ${this.#ssh}/host_key`,
      `AuthorizedKeysFile ${this.#ssh}/authorized_keys`,
      'PidFile none',
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'StrictModes no',
      'PermitRootLogin prohibit-password',
      'UseDNS no',
      'PrintMotd no',
      'MaxStartups 200',
      'MaxSessions 200',
      'LogLevel ERROR',
      'Subsystem sftp internal-sftp',
      `SetEnv SHLVL=3 ${cache}${path}`,
      '',
    ].join('\n');
  }
}

/** Loopback up, and a /run of our own: sshd wants its folder there. */
function prepareNamespace(): void {
  run('ip', ['link', 'set', 'lo', 'up']);
  run('mount', ['-t', 'tmpfs', 'none', '/run']);
  mkdirSync('/run/sshd', { mode: 0o755 });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function run(command: string, args: readonly string[]): void {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  if (done.status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${done.stderr || String(done.error)}`);
}

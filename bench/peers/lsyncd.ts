import { writeFileSync } from 'node:fs';
import { firstLine, type Job, output, ProcessPeer } from './peer.ts';

/** lsyncd with `default.rsyncssh` (renames and deletes by ssh commands, the rest by rsync) and no delay: its fastest setting. */
export class Lsyncd extends ProcessPeer {
  readonly name: string = 'lsyncd';
  protected readonly shared: boolean = false;
  #replicas = 0;

  version(): string {
    return `lsyncd ${firstLine(output('lsyncd', ['--version']))}`;
  }

  start(job: Job): Promise<void> {
    this.#replicas = job.replicas.length;
    const settings = `settings { nodaemon = true, insist = true, statusFile = "${job.state}/status", statusInterval = 5 }`;
    const syncs = job.replicas.map(
      (
        replica,
        index,
      ) => `sync { default.rsyncssh, source = "${job.source}", host = "${this.lab.host(index)}", targetdir = "${replica}",
  delay = 0, delete = true, rsync = { archive = true, compress = false }, ssh = { binary = "${this.lab.sshCommand(this.shared)}" } }`,
    );
    const file = `${job.state}/lsyncd.lua`;
    writeFileSync(file, [settings, ...syncs, ''].join('\n'));
    const path = `${this.lab.sshFolder(this.shared)}:${process.env['PATH'] ?? ''}`;
    this.spawn('daemon', ['lsyncd', '-nodaemon', file], { environment: { PATH: path } });
    return Promise.resolve();
  }

  override async stop(): Promise<void> {
    await super.stop();
    if (this.shared) this.lab.endSharedConnections(this.#replicas);
  }
}

/** The same over shared ssh connections (ControlMaster): the peer to beat. */
export class LsyncdShared extends Lsyncd {
  override readonly name = 'lsyncd-shared';
  protected override readonly shared = true;
}

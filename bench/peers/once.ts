import { firstLine, type Job, output, ProcessPeer } from './peer.ts';

/** Tools that copy a tree once, by a shell command for each replica. */
abstract class OncePeer extends ProcessPeer {
  override readonly oneShot: boolean = true;
  #job: Job | undefined;

  protected abstract command(source: string, host: string, replica: string): string;

  async start(job: Job): Promise<void> {
    this.#job = job;
    await this.kick();
  }

  override async kick(): Promise<void> {
    const job = this.#job;
    if (!job) return;
    const copies = job.replicas.map((replica, index) => {
      const script = this.command(job.source, this.lab.host(index), replica);
      return this.spawn(`copy${index}`, ['sh', '-c', script], { supervised: false });
    });
    await Promise.all(copies.map((copy) => copy.ended));
    for (const copy of copies) this.forget(copy);
  }
}

export class Rsync extends OncePeer {
  readonly name = 'rsync';

  version(): string {
    return firstLine(output('rsync', ['--version']));
  }

  protected command(source: string, host: string, replica: string): string {
    return `exec rsync -a --delete -e ${this.lab.sshCommand()} ${source}/ ${host}:${replica}/`;
  }
}

export class Tar extends OncePeer {
  readonly name = 'tar';

  version(): string {
    return firstLine(output('tar', ['--version']));
  }

  protected command(source: string, host: string, replica: string): string {
    return `tar -C ${source} -cf - . | ${this.lab.sshCommand()} ${host} 'tar -C ${replica} -xpf -'`;
  }
}

/** No network: what the machine can do at best with a plain copy. */
export class LocalCopy extends OncePeer {
  readonly name = 'cp';

  version(): string {
    return firstLine(output('cp', ['--version']));
  }

  protected command(source: string, _host: string, replica: string): string {
    return `exec cp -a ${source}/. ${replica}/`;
  }
}

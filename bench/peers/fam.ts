import { firstLine, type Job, output, ProcessPeer } from './peer.ts';

/** This project's own mirror, as a user would start it. */
export class Fam extends ProcessPeer {
  readonly name = 'fam';

  version(): string {
    return `fam ${firstLine(output(this.#node, [famCommand(), '--version']))}`;
  }

  start(job: Job): Promise<void> {
    const destinations = job.replicas.map((replica, index) => this.remote(index, replica));
    const options = [
      '--state',
      `${job.state}/fam`,
      '-e',
      this.lab.sshCommand(),
      '--init',
      '--log-format',
      'json',
    ];
    this.spawn('mirror', [this.#node, famCommand(), 'mirror', job.source, ...destinations, ...options]);
    return Promise.resolve();
  }

  get #node(): string {
    return this.lab.nodeFolder === undefined ? process.execPath : `${this.lab.nodeFolder}/node`;
  }
}

function famCommand(): string {
  return new URL('../../../bin/fam', import.meta.url).pathname;
}

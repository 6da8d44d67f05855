import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { firstLine, type Job, output, ProcessPeer } from './peer.ts';

const monitor = '/usr/bin/unison-fsmonitor';

/** One unison per replica, the source's side always right. Debian ships no file system monitor for it: then it polls each second. */
export class Unison extends ProcessPeer {
  readonly name = 'unison';

  version(): string {
    const polling = existsSync(monitor) ? '' : ' (without unison-fsmonitor: -repeat 1)';
    return `${firstLine(output('unison', ['-version']))}${polling}`;
  }

  start(job: Job): Promise<void> {
    for (const [index, replica] of job.replicas.entries()) {
      const here = `${job.state}/here${index}`;
      const there = `${job.state}/there${index}`;
      for (const folder of [here, there]) {
        mkdirSync(folder, { recursive: true });
        // A killed unison leaves its archive locked.
        for (const name of readdirSync(folder)) if (name.startsWith('lk')) rmSync(`${folder}/${name}`);
      }
      mkdirSync(replica, { recursive: true });
      const mode = [
        '-ui',
        'text',
        '-auto',
        '-batch',
        '-silent',
        '-times',
        '-perms',
        '-1',
        '-confirmbigdel=false',
        '-fastcheck',
        'true',
      ];
      const roots = [job.source, `ssh://${this.lab.host(index)}/${replica}`];
      const repeat = ['-force', job.source, '-repeat', existsSync(monitor) ? 'watch' : '1'];
      const remote = ['-sshcmd', this.lab.sshCommand(), '-servercmd', `env UNISON=${there} unison`];
      this.spawn(`replica${index}`, ['unison', ...roots, ...mode, ...repeat, ...remote], {
        environment: { UNISON: here, HOME: here },
      });
    }
    return Promise.resolve();
  }
}

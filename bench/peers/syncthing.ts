import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { firstLine, type Job, output, ProcessPeer, type Service } from './peer.ts';

const firstPort = 43_300;
const firstGuiPort = 43_400;

/** One syncthing for the source (send only) and one per replica (receive only), no discovery, watcher delay 1 s (its least). */
export class Syncthing extends ProcessPeer {
  readonly name = 'syncthing';
  readonly #nodes = new Map<number, Service>();
  #job: Job | undefined;

  version(): string {
    return firstLine(output('syncthing', ['--version'])).split(' (')[0] ?? '';
  }

  start(job: Job): Promise<void> {
    this.#job = job;
    const folders = [job.source, ...job.replicas];
    const ids = folders.map((folder, node) => this.#identity(job, node, folder));
    for (const [node, folder] of folders.entries()) {
      const others = node === 0 ? folders.map((_, other) => other).slice(1) : [0];
      writeFileSync(`${home(job, node)}/config.xml`, configuration(node, ids, folder, others));
      this.#up(job, node);
    }
    return Promise.resolve();
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.#nodes.clear();
    for (const folder of this.#job ? [this.#job.source, ...this.#job.replicas] : [])
      rmSync(`${folder}/.stfolder`, { recursive: true, force: true });
  }

  override async replicaDown(index: number): Promise<void> {
    const node = this.#nodes.get(index + 1);
    if (!node) return;
    this.forget(node);
    await node.stop('SIGKILL');
  }

  override replicaUp(index: number): Promise<void> {
    if (this.#job) this.#up(this.#job, index + 1);
    return Promise.resolve();
  }

  #identity(job: Job, node: number, folder: string): string {
    mkdirSync(`${folder}/.stfolder`, { recursive: true });
    const environment = { HOME: job.state };
    if (!existsSync(`${home(job, node)}/cert.pem`)) {
      output(
        'syncthing',
        ['generate', `--home=${home(job, node)}`, '--no-default-folder', '--skip-port-probing'],
        environment,
      );
    }
    return (
      output('syncthing', [`--home=${home(job, node)}`, '--device-id'], environment)
        .split(/\s+/)
        .at(-1) ?? ''
    );
  }

  #up(job: Job, node: number): void {
    const argv = [
      'syncthing',
      'serve',
      `--home=${home(job, node)}`,
      '--no-browser',
      '--no-restart',
      '--no-upgrade',
      '--no-default-folder',
    ];
    this.#nodes.set(
      node,
      this.spawn(`node${node}`, argv, { environment: { HOME: job.state, STNOUPGRADE: '1' } }),
    );
  }
}

function home(job: Job, node: number): string {
  return `${job.state}/node${node}`;
}

function configuration(
  node: number,
  ids: readonly string[],
  folder: string,
  others: readonly number[],
): string {
  const members = [node, ...others];
  const devices = members.map(
    (
      other,
    ) => `<device id="${ids[other]}" name="n${other}" compression="never" introducer="false"><address>tcp://127.0.0.1:${firstPort + other}</address>
<autoAcceptFolders>false</autoAcceptFolders></device>`,
  );
  const inFolder = members.map((other) => `<device id="${ids[other]}"></device>`);
  return `<configuration version="35">
<folder id="b" label="b" path="${folder}" type="${node === 0 ? 'sendonly' : 'receiveonly'}" rescanIntervalS="3600" fsWatcherEnabled="true"
 fsWatcherDelayS="1" ignorePerms="false" autoNormalize="true"><filesystemType>basic</filesystemType>${inFolder.join('')}
<minDiskFree unit="%">0</minDiskFree><markerName>.stfolder</markerName></folder>
${devices.join('\n')}
<gui enabled="true" tls="false"><address>127.0.0.1:${firstGuiPort + node}</address><apikey>bench</apikey></gui>
<options><listenAddress>tcp://127.0.0.1:${firstPort + node}</listenAddress><globalAnnounceEnabled>false</globalAnnounceEnabled>
<localAnnounceEnabled>false</localAnnounceEnabled><relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled>
<startBrowser>false</startBrowser><urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
<crashReportingEnabled>false</crashReportingEnabled><reconnectionIntervalS>2</reconnectionIntervalS>
<setLowPriority>false</setLowPriority><announceLANAddresses>false</announceLANAddresses><stunServer></stunServer>
<progressUpdateIntervalS>-1</progressUpdateIntervalS></options></configuration>
`;
}

import { firstLine, type Job, output, ProcessPeer } from './peer.ts';

/** The script that is in every forum: watch, gather what is queued for 20 ms, rsync the whole tree to each replica. */
const script = `
source=$1; ssh=$2; shift 2
sync_all() { for d in "$@"; do rsync -a --delete -e "$ssh" "$source/" "$d/" & p="$p $!"; done; wait $p; p=; }
exec 3< <(exec inotifywait -m -r -q -e close_write,create,delete,move,attrib --format '%w%f' "$source")
sync_all "$@"
while IFS= read -r _ <&3; do
  n=0
  while [ $n -lt 100000 ] && IFS= read -r -t 0.02 _ <&3; do n=$((n+1)); done
  sync_all "$@"
done
`;

export class InotifyRsync extends ProcessPeer {
  readonly name = 'inotify-rsync';

  version(): string {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholder
    return firstLine(output('dpkg-query', ['-W', '-f', 'inotifywait ${Version}', 'inotify-tools']));
  }

  start(job: Job): Promise<void> {
    const remotes = job.replicas.map((replica, index) => this.remote(index, replica));
    this.spawn('loop', [
      'bash',
      '-c',
      script,
      'inotify-rsync',
      job.source,
      this.lab.sshCommand(),
      ...remotes,
    ]);
    return Promise.resolve();
  }
}

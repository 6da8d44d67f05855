// fam_mirror as it was in 2001, then in Perl over SGI::FAM: on each event, rsync the changed name to all replicas.
// One connection for each change and replica; `fam mirror` is what became of it. Node.js >= 22.18 runs this as it is:
//   INIT_MIRROR=1 CREATE_DIRS=1 DEBUG=1 REPLICA_HOSTS='web1 web2' node fam-mirror-2001.ts /var/www

import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { watch } from 'fam-mirror';

const { INIT_MIRROR, CREATE_DIRS, DEBUG, REPLICA_HOSTS } = process.env;
const replicaHosts = (REPLICA_HOSTS ?? 'web1 web2').split(' ');
const [root = '/var/www'] = process.argv.slice(2);

const options = ['-a', '--delete', '--delete-missing-args', ...(CREATE_DIRS ? ['--mkpath'] : [])];

function mirror(path: string): void {
  for (const host of replicaHosts) {
    if (DEBUG) console.error('rsync', ...options, path, host);
    const { status } = spawnSync('rsync', [...options, path, `${host}:${dirname(path)}/`], {
      stdio: 'inherit',
    });
    if (status !== 0) console.error(`${host}: rsync ${path} ended with ${status}`);
  }
}

const watcher = watch(root);
await watcher.ready;
if (INIT_MIRROR) mirror(root);
for await (const event of watcher) {
  if (DEBUG) console.error(event.type, event.path);
  if (event.type === 'moved') mirror(event.from);
  mirror(event.path);
}

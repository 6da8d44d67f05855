import type { Lab } from '../lab.ts';
import { Fam } from './fam.ts';
import { InotifyRsync } from './inotify-rsync.ts';
import { Lsyncd, LsyncdShared } from './lsyncd.ts';
import { LocalCopy, Rsync, Tar } from './once.ts';
import type { Peer } from './peer.ts';
import { Syncthing } from './syncthing.ts';
import { Unison } from './unison.ts';

/** In the order in which tables show them. */
export const peerNames = [
  'fam',
  'rsync',
  'tar',
  'cp',
  'lsyncd-shared',
  'lsyncd',
  'inotify-rsync',
  'syncthing',
  'unison',
] as const;
export type PeerName = (typeof peerNames)[number];

const classes = {
  fam: Fam,
  rsync: Rsync,
  tar: Tar,
  cp: LocalCopy,
  'lsyncd-shared': LsyncdShared,
  lsyncd: Lsyncd,
  'inotify-rsync': InotifyRsync,
  syncthing: Syncthing,
  unison: Unison,
} satisfies Record<PeerName, new (lab: Lab) => Peer>;

export function createPeer(name: PeerName, lab: Lab): Peer {
  return new classes[name](lab);
}

export function isPeerName(name: string): name is PeerName {
  return Object.hasOwn(classes, name);
}

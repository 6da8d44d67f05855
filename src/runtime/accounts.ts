// Names of users and groups as this host knows them, directories of users (LDAP, SSSD) included.

import { spawnSync } from 'node:child_process';

/** The id of a user or group name, or of a number; undefined when the host does not know it. */
export function accountId(database: 'passwd' | 'group', name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  // getent(1) is part of both glibc and musl systems, and asks whatever nsswitch.conf says.
  const found = spawnSync('getent', [database, name], { encoding: 'utf8' });
  const id = found.status === 0 ? found.stdout.split(':')[2] : undefined;
  return id === undefined ? undefined : Number(id);
}

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts } from './accepts.ts';
import { Child } from './child.ts';
import { freePort } from './free-port.ts';
import { tempFolder } from './temp-folder.ts';

/**
 * A vsftpd of this test's own on loopback. Anybody may upload, rename and delete inside the folders that `root` holds
 * now (they are given to Debian's `ftp` user); what is uploaded is readable for all, as for a web server.
 * @returns the URL of its root, without a slash at the end
 */
export async function startVsftpd(root: string): Promise<string> {
  const folder = tempFolder('vsftpd');
  const port = await freePort();
  chmodSync(folder, 0o711);
  mkdirSync(join(folder, 'empty'));
  execFileSync('chown', ['-R', 'ftp:', root]);
  // vsftpd takes no anonymous users into a root that they can write to.
  execFileSync('chown', ['root:', root]);
  const settings = {
    listen: 'YES',
    background: 'NO',
    listen_address: '127.0.0.1',
    listen_port: port,
    pasv_address: '127.0.0.1',
    connect_from_port_20: 'NO',
    anonymous_enable: 'YES',
    no_anon_password: 'YES',
    local_enable: 'NO',
    anon_root: root,
    ftp_username: 'ftp',
    write_enable: 'YES',
    anon_upload_enable: 'YES',
    anon_mkdir_write_enable: 'YES',
    anon_other_write_enable: 'YES',
    anon_umask: '022',
    secure_chroot_dir: join(folder, 'empty'),
    seccomp_sandbox: 'NO',
    xferlog_enable: 'NO',
  };
  const config = join(folder, 'vsftpd.conf');
  writeFileSync(
    config,
    Object.entries(settings)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  );
  await accepts(port, new Child('/usr/sbin/vsftpd', [config]));
  return `ftp://127.0.0.1:${port}`;
}

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts } from './accepts.ts';
import { Child } from './child.ts';
import { freePort } from './free-port.ts';
import { tempFolder } from './temp-folder.ts';

/**
 * An nginx of this test's own on loopback that serves `root`.
 * @returns the URL of its root, without a slash at the end
 */
export async function startNginx(root: string): Promise<string> {
  const folder = tempFolder('nginx');
  const port = await freePort();
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const config = join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `user root; daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn;
events {}
http {
  access_log off; sendfile on; default_type application/octet-stream;
  ${temps.map((temp) => `${temp}_temp_path ${folder}/${temp};`).join(' ')}
  server { listen 127.0.0.1:${port}; root ${root}; autoindex on; }
}
`,
  );
  // Its own end takes the worker along; kill -9 would leave one behind.
  await accepts(port, new Child('/usr/sbin/nginx', ['-e', 'stderr', '-c', config], process.env, 'SIGTERM'));
  return `http://127.0.0.1:${port}`;
}

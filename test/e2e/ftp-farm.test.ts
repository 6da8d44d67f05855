// The farm of 2001: users upload by FTP to one host, four web servers show the same at once.

import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startNginx } from '../support/nginx.ts';
import { startVsftpd } from '../support/vsftpd.ts';
import { waitFor } from '../support/wait-for.ts';
import { startFarm } from './farm.ts';

const run = promisify(execFile);

/** The body, or the HTTP status when it is not 200. */
async function get(url: string): Promise<string | number> {
  const response = await fetch(url);
  const body = await response.text();
  return response.status === 200 ? body : response.status;
}

/** A page that tells at its end whether it is whole: every line carries its version. */
function page(version: number, lines: number): string {
  return `version ${version} of this page, which is long enough to be sent in pieces\n`.repeat(lines);
}

/** Reads the page over and over until told to stop; what it saw that is not one whole version. */
async function readThroughout(url: string, whole: ReadonlySet<string>, stop: AbortSignal): Promise<string[]> {
  const wrong: string[] = [];
  let reads = 0;
  while (!stop.aborted) {
    const seen = await get(url);
    reads += 1;
    if (typeof seen === 'number') wrong.push(`${url}: HTTP ${seen}`);
    else if (!whole.has(seen))
      wrong.push(`${url}: ${seen.length} bytes: ${seen.slice(0, 20)}...${seen.slice(-20)}`);
  }
  expect(reads).toBeGreaterThan(5);
  return wrong;
}

test('what is uploaded by FTP is served by four web servers: whole, overwritten, renamed, deleted', async () => {
  const farm = await startFarm({ ssh: 4, files: 50 });
  chmodSync(farm.folder, 0o755);
  mkdirSync(join(farm.source, 'incoming'));
  const ftp = await startVsftpd(farm.source);
  const webs = await Promise.all(farm.replicas.map(startNginx));
  const mirror = farm.start();
  await mirror.inSync();
  farm.expectEqual();

  const local = join(farm.folder, 'upload');
  const upload = async (content: string, path: string, ...options: string[]) => {
    writeFileSync(local, content);
    await run('curl', ['-sS', '--ftp-create-dirs', ...options, '-T', local, `${ftp}/incoming/${path}`]);
  };
  const command = (...quotes: string[]) =>
    execFileSync('curl', ['-sS', `${ftp}/`, ...quotes.flatMap((quote) => ['-Q', quote])], { stdio: 'pipe' });
  const allServe = (path: string, expected: string | number) =>
    waitFor(
      async () => {
        const seen = await Promise.all(webs.map((web) => get(`${web}/incoming/${path}`)));
        return seen.every((body) => body === expected);
      },
      { deadlineMs: 15_000, describe: () => `four web servers to serve ${path}:\n${mirror.stderr}` },
    );

  const versions = Array.from({ length: 8 }, (_, n) => page(n, 20_000 + 1000 * n));
  await upload(versions[0] ?? '', 'new/page.html');
  await allServe('new/page.html', versions[0] ?? '');

  // Overwritten in place, seven times, one of them for four seconds; readers poll every web server all the while.
  const stop = new AbortController();
  const whole = new Set(versions);
  const readers = webs.map((web) => readThroughout(`${web}/incoming/new/page.html`, whole, stop.signal));
  for (const [n, version] of versions.entries()) {
    await upload(version, 'new/page.html', ...(n === 4 ? ['--limit-rate', '400k'] : []));
    if (n % 2 === 0) await allServe('new/page.html', version);
  }
  await allServe('new/page.html', versions.at(-1) ?? '');
  stop.abort();
  expect((await Promise.all(readers)).flat()).toEqual([]);

  command('RNFR incoming/new', 'RNTO incoming/published');
  await allServe('published/page.html', versions.at(-1) ?? '');
  await allServe('new/page.html', 404);
  command('DELE incoming/published/page.html', 'RMD incoming/published');
  await allServe('published/page.html', 404);

  await mirror.barrier();
  farm.expectEqual();
  await mirror.end();
  rmSync(local);
});

import { spawnSync } from 'node:child_process';
import type { BytePath } from './walk.ts';

/** getfattr writes backslash, newline and carriage return as `\ooo`. */
function unquote(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/**
 * The extended attributes of everything below `root` that has any, as sorted `name=hex` lines; ACLs and file
 * capabilities are among them. Read by getfattr (package attr), so that the oracle shares no code with fam.
 */
export function readXattrs(root: BytePath): Map<BytePath, string[]> {
  const args = ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', '--', root];
  const { stdout, stderr, status, error } = spawnSync('getfattr', args, {
    encoding: 'latin1',
    maxBuffer: 2 ** 30,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`getfattr failed: ${stderr}`);
  const found = new Map<BytePath, string[]>();
  for (const block of stdout.split('\n\n')) {
    const [head, ...attributes] = block.split('\n');
    if (!head?.startsWith('# file: ')) continue;
    const path = unquote(head.slice('# file: '.length)).slice(root.length).replace(/^\/+/, '');
    found.set(path, attributes.sort());
  }
  return found;
}

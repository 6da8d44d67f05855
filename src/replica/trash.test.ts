import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { openHome } from './home.ts';
import { Trash } from './trash.ts';

const nobody = 65_534;

test.skipIf(process.geteuid?.() !== 0)(
  'takes a folder that its owner may not write in, and its mode with it',
  () => {
    const folder = tempFolder('fam-trash', '/dev/shm');
    chownSync(folder, nobody, nobody);
    process.seteuid?.(nobody);
    onTestFinished(() => process.seteuid?.(0));
    const root = join(folder, 'root');
    mkdirSync(join(root, 'above/closed'), { recursive: true });
    writeFileSync(join(root, 'above/closed/page'), 'theirs');
    chmodSync(join(root, 'above/closed'), 0o555);
    const home = openHome(join(root, 'above'));
    onTestFinished(() => home.close());
    expect(new Trash(home).keep(home.rootFd, 'closed', 'closed', 'not fam’s')).toBe(0);
    expect(readdirSync(join(root, 'above'))).toEqual([]);
    const trash = join(root, '.fam-above/trash');
    const [kept] = readdirSync(trash).filter((name) => name !== 'list.jsonl');
    const at = join(trash, kept ?? '');
    expect([statSync(at).mode & 0o7777, readdirSync(at)]).toEqual([0o555, ['page']]);
  },
);

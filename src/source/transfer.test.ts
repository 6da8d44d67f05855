import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { Kind } from '../core/attributes.ts';
import { digestKeyBytes } from '../wire/messages.ts';
import { BlockLedger } from './block-ledger.ts';
import { Contents, type OpenContent } from './contents.ts';
import { Transfer, type TransferStep } from './transfer.ts';

const attributes: OpenContent['attributes'] = {
  kind: Kind.file,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeS: 0,
  mtimeNs: 0,
  rdevMajor: 0,
  rdevMinor: 0,
  target: '',
  xattrs: [],
};

test.each([
  ['that it may have in an older version', true],
  ['that it lacks', false],
])('Transfer sends a replica an empty file %s, although it has probably not changed', (_, mayHaveOlder) => {
  const folder = tempFolder('transfer');
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const contents = new Contents({ inode: () => undefined, handleOf: () => undefined }, folder);
  const ledger = new BlockLedger(folder, 1);
  onTestFinished(() => {
    contents.closeAll();
    ledger.close();
  });
  const transfer = new Transfer(contents, ledger, {
    id: 5,
    contentSeq: 9,
    content: { fd: openSync(file, 'r'), attributes, ctimeS: 0, ctimeNs: 0, sparse: false },
    offset: 0,
    mayHaveOlder,
    isDoubtful: true,
    nextAttempt: () => 1,
    key: Buffer.alloc(digestKeyBytes),
  });
  const steps: TransferStep[] = [];
  for (let n = 0; n < 20 && steps.at(-1)?.kind !== 'sent'; n++) {
    const step = transfer.step(true);
    steps.push(step);
    // The replica has nothing like it.
    if (step.kind === 'send' && step.message.type === 'base-wanted')
      transfer.base({ type: 'base', id: 5, attempt: 1, size: 0, version: Buffer.alloc(0) });
  }
  transfer.close();
  const messages = steps.flatMap((step) => (step.kind === 'send' ? [step.message] : []));
  expect(messages.at(-1)).toMatchObject({ type: 'stream', total: 0, last: true });
  expect(steps.at(-1)).toEqual({ kind: 'sent' });
});

import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tempFolder } from '../../test/support/temp-folder.ts';
import { Kind } from '../core/attributes.ts';
import { digestKeyBytes, pieceBytes } from '../wire/messages.ts';
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

/** How the transfer of a file goes to a replica that says that it has something like it, so many bytes long. */
function transferOf(
  bytes: Uint8Array,
  { mayHaveOlder, isDoubtful }: { mayHaveOlder: boolean; isDoubtful: boolean },
  baseSize: number,
): TransferStep[] {
  const folder = tempFolder('transfer');
  const file = join(folder, 'file');
  writeFileSync(file, bytes);
  const contents = new Contents({ inode: () => undefined, handleOf: () => undefined }, folder);
  const ledger = new BlockLedger(folder, 1);
  onTestFinished(() => {
    contents.closeAll();
    ledger.close();
  });
  const transfer = new Transfer(contents, ledger, {
    id: 5,
    contentSeq: 9,
    content: {
      fd: openSync(file, 'r'),
      attributes: { ...attributes, size: bytes.length },
      ctimeS: 0,
      ctimeNs: 0,
      allocatedBytes: bytes.length,
    },
    offset: 0,
    mayHaveOlder,
    isDoubtful,
    nextAttempt: () => 1,
    key: Buffer.alloc(digestKeyBytes),
  });
  const steps: TransferStep[] = [];
  for (let n = 0; n < 50 && steps.at(-1)?.kind !== 'sent'; n++) {
    const step = transfer.step(true);
    steps.push(step);
    if (step.kind === 'send' && step.message.type === 'base-wanted')
      transfer.base({ type: 'base', id: 5, attempt: 1, size: baseSize, version: Buffer.alloc(0) });
  }
  transfer.close();
  return steps;
}

function messagesOf(steps: readonly TransferStep[]): Extract<TransferStep, { kind: 'send' }>['message'][] {
  return steps.flatMap((step) => (step.kind === 'send' ? [step.message] : []));
}

test.each([
  ['that it may have in an older version', true],
  ['that it lacks', false],
])('Transfer sends a replica an empty file %s, although it has probably not changed', (_, mayHaveOlder) => {
  // The replica has nothing like it.
  const steps = transferOf(new Uint8Array(), { mayHaveOlder, isDoubtful: true }, 0);
  expect(messagesOf(steps).at(-1)).toMatchObject({ type: 'stream', total: 0, last: true });
  expect(steps.at(-1)).toEqual({ kind: 'sent' });
});

test('Transfer sends all of a file when the replica says that what it has of it is longer than can be compared', () => {
  const bytes = Buffer.alloc(1024 * 1024, 'page ');
  const steps = transferOf(bytes, { mayHaveOlder: true, isDoubtful: false }, 2 ** 52);
  const sent = messagesOf(steps).flatMap((message) =>
    message.type === 'stream' ? [message.bytes.length] : [],
  );
  expect(sent).toEqual([pieceBytes, pieceBytes, pieceBytes, pieceBytes]);
  expect(steps.at(-1)).toEqual({ kind: 'sent' });
});

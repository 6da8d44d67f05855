// A writer's process: `writer-main WORLD UID MODE SEED VERSIONS OUTER-NAMES`. Goes into the world (chroot), gives root up where it should, and
// then does what it is told over its IPC channel. MODE `operations` performs lists; `publisher` publishes until `stop`.

import { fdatasyncSync, openSync } from 'node:fs';
import { randomFrom } from '../support/random.ts';
import { chroot } from './calls.ts';
import { perform } from './perform.ts';
import { Publisher } from './publisher.ts';
import type { FromWriter, ToWriter } from './writer.ts';

const [world = '', uid = '', mode = '', seed = '', versions = '', outerNames = ''] = process.argv.slice(2);
const versionsFd = mode === 'publisher' ? openSync(versions, 'r+') : -1;
if (versionsFd >= 0) fdatasyncSync(versionsFd);
const entered = chroot(Buffer.from(world).toString('latin1'));
if (entered < 0) throw new Error(`chroot ${world}: ${entered}`);
process.chdir('/');
process.umask(0o022);
if (uid !== '0') {
  process.setgroups?.([]);
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
}

function say(message: FromWriter): void {
  process.send?.(message);
}

let stopped = false;
const publisher = new Publisher(Number(seed), versionsFd);
const random = randomFrom(Number(seed) + 1);

/** One step every 0 to 16 ms. */
async function publish(): Promise<void> {
  let steps = 0;
  while (!stopped) {
    publisher.step();
    steps += 1;
    await new Promise((resolve) => setTimeout(resolve, random() ** 2 * 16));
  }
  say({ type: 'done', performed: steps, errors: {} });
}

process.on('message', (message: ToWriter) => {
  if (message.type === 'begin') {
    publisher.begin();
    say({ type: 'done', performed: 1, errors: {} });
  } else if (message.type === 'publish') {
    stopped = false;
    void publish();
  } else if (message.type === 'stop') stopped = true;
  else {
    const errors: Record<string, number> = {};
    for (const operation of message.operations) {
      const error = perform(operation, outerNames === 'true');
      if (error !== undefined) errors[error] = (errors[error] ?? 0) + 1;
    }
    say({ type: 'done', performed: message.operations.length, errors });
  }
});
process.on('disconnect', () => process.exit(0));
say({ type: 'ready' });

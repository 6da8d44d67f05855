// Which running mirror `fam status` and `fam wait` mean: by its state folder, by its source, or the only one there is.

import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { isMirrorRunning } from '../control/client.ts';
import { FamError } from '../core/errors.ts';
import { stateFolderOf } from '../mirror/state-folder.ts';
import { statesFolder } from '../runtime/states-folder.ts';

/** @throws FamError NOT_RUNNING, USAGE */
export async function chooseState(source: string | undefined, state: string | undefined): Promise<string> {
  if (state !== undefined) return state;
  if (source !== undefined) return stateFolderOf(existsSync(source) ? realpathSync(source) : source);
  const folder = statesFolder();
  const running: string[] = [];
  for (const name of existsSync(folder) ? readdirSync(folder) : [])
    if (await isMirrorRunning(join(folder, name))) running.push(name);
  const [only] = running;
  if (only === undefined) {
    throw new FamError('NOT_RUNNING', `no mirror has its state in ${folder}: name its folder with --state`);
  }
  if (running.length > 1) {
    throw new FamError(
      'USAGE',
      `several mirrors run here (${running.join(', ')}): name the source, or --state`,
    );
  }
  return join(folder, only);
}

// Which running mirror `fam status` and `fam wait` mean: by its state folder, by its source, or the only one there is.

import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { controlSocketName } from '../control/server.ts';
import { FamError } from '../core/errors.ts';
import { stateFolderOf, statesFolder } from '../mirror/state-folder.ts';

export function chooseState(source: string | undefined, state: string | undefined): string {
  if (state !== undefined) return state;
  if (source !== undefined) return stateFolderOf(existsSync(source) ? realpathSync(source) : source);
  const folder = statesFolder();
  const running = existsSync(folder)
    ? readdirSync(folder).filter((name) => existsSync(join(folder, name, controlSocketName)))
    : [];
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

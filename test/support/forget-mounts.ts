import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { noteOf } from '../../src/replica/mount-note.ts';

/** What agents have noted of file systems that were mounted on a folder or below it goes with the folder. */
export function forgetMounts(folder: string): void {
  const note = noteOf(folder);
  const notes = dirname(note);
  let names: string[] = [];
  try {
    names = readdirSync(notes);
  } catch {
    // Nothing was ever noted here.
  }
  for (const name of names) if (name.startsWith(basename(note))) rmSync(join(notes, name), { force: true });
}

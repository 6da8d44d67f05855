import { homedir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { statesFolder } from './states-folder.ts';

test('statesFolder takes XDG_STATE_HOME if that is an absolute path: a relative one would be another folder for whoever asks from elsewhere', () => {
  const user = vi.spyOn(process, 'geteuid').mockReturnValue(1000);
  onTestFinished(() => {
    user.mockRestore();
    vi.unstubAllEnvs();
  });
  const home = join(homedir(), '.local', 'state', 'fam');
  for (const [given, folder] of [
    [undefined, home],
    ['', home],
    ['state', home],
    ['/srv/state', '/srv/state/fam'],
  ] as const) {
    vi.stubEnv('XDG_STATE_HOME', given);
    expect(statesFolder(), given).toBe(folder);
  }
});

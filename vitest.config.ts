import { statfsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

/**
 * Whole mirrors with thousands of files work in memory where there is room for it: on a disk they wait for it half of their time. What
 * file systems do differently is the affair of the others, which mount each of them.
 */
function inMemory(): Record<string, string> {
  const wantedBytes = 4 * 1024 ** 3;
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize >= wantedBytes ? { TMPDIR: '/dev/shm' } : {};
  } catch {
    return {};
  }
}

// Files run in processes of their own: tests mount file systems, change umask and start threads with native handles.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // Real kernels and real sshd under load: a deadline here means hung, not slow.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      { extends: true, test: { name: 'unit', include: ['src/**/*.test.ts'], sequence: { groupOrder: 0 } } },
      {
        extends: true,
        test: {
          name: 'contract',
          include: ['test/{oracle,support,contract,integration,packaging}/**/*.test.ts'],
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/{e2e,torture}/**/*.test.ts'],
          env: inMemory(),
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});

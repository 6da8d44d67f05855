// Biome formats and lints; this narrow second pass holds what needs types (promises) and the layers between the rooms.

import tseslint from 'typescript-eslint';

/** Rooms of src/ from top to bottom: a room imports only from lines below its own. */
const layers = [
  ['cli'],
  ['mirror'],
  ['control'],
  ['source', 'replica', 'transport', 'watch'],
  ['wire', 'tree'],
  ['kernel'],
  ['runtime'],
  ['core'],
];

const testFiles = ['src/**/*.test.ts', 'test/**/*.ts'];

/** For each room, a rule that forbids every room that is not below it. */
const layerRules = layers.flatMap((rooms, level) =>
  rooms.map((room) => {
    const below = layers.slice(level + 1).flat();
    const forbidden = layers.flat().filter((other) => other !== room && !below.includes(other));
    const patterns = [
      { regex: '^(\\.\\./)+index\\.ts$', message: 'index.ts is the door for users, not for rooms' },
      ...forbidden.map((other) => ({
        regex: `^(\\.\\./)+${other}/`,
        message: `${room}/ may import only what lies below it: ${below.join(', ') || 'nothing'}`,
      })),
    ];
    if (room === 'core') patterns.push({ regex: '^[^.]', message: 'core/ imports nothing, no node: either' });
    return {
      files: [`src/${room}/**/*.ts`],
      ignores: testFiles,
      rules: { 'no-restricted-imports': ['error', { patterns }] },
    };
  }),
);

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/'] },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'vitest.config.ts'],
    plugins: { '@typescript-eslint': tseslint.plugin },
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: 'tsconfig.test.json', tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
    },
  },
  {
    // A room that nobody has placed in a layer would escape the rules.
    files: ['src/*/**/*.ts'],
    ignores: layers.flat().map((room) => `src/${room}/**`),
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: 'Program', message: 'Add this room to `layers` in eslint.config.js' },
      ],
    },
  },
  ...layerRules,
);

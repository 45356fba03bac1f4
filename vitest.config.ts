import { defineConfig } from 'vitest/config';

const conditions = ['edgedesk-source', 'module', 'node', 'import', 'default'];
const shared = {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
};

/** `*.test.ts` are quick unit tests; `*.slow.test.ts` train, generate, spawn processes or open a browser. */
export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        ...shared,
        test: {
          name: 'tiny',
          include: ['{packages,apps}/*/src/**/*.test.ts'],
          exclude: ['**/*.slow.test.ts', '**/node_modules/**', '**/dist/**'],
          testTimeout: 15_000,
          pool: 'forks',
          // Half the time went into loading the same packages for each file; these tests change nothing that outlives them.
          isolate: false,
        },
      },
      {
        ...shared,
        test: {
          name: 'slow',
          include: ['{packages,apps}/*/{src,test}/**/*.slow.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          pool: 'forks',
        },
      },
    ],
  },
});

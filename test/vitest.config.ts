import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores on the build machine; each file is its own process because renderers and engines are children of it.
    pool: 'forks',
    maxWorkers: 2,
  },
})

import { defineConfig } from 'vitest/config'

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['test/**/*.test.ts'],
    // Several times what each takes here: a machine that is busy must not turn a test red.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Vitest's own second is no time at all there. What is polled for ends the wait, so that patience costs nothing.
    expect: { poll: { timeout: 60_000 } },
    // Two cores on the build machine; each file is its own process because renderers and engines are children of it.
    pool: 'forks',
    maxWorkers: 2,
  },
})

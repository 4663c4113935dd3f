import { spawn } from 'node:child_process'
import { getPriority } from 'node:os'
import { expect, it } from 'vitest'
import { setNiceness } from '../../src/core/niceness.ts'

/** Above every pid that Linux gives (PID_MAX_LIMIT, 2^22): a thread that has ended. */
const ENDED = 2 ** 22 + 1

it('makes what is there humbler, never less humble, and passes over what has ended', async () => {
  const child = spawn('sleep', ['60'])
  const { pid } = child
  if (pid === undefined) throw new Error('no sleep')
  try {
    // The tests themselves may run humbler.
    const niceness = Math.max(5, getPriority())
    setNiceness(5, [ENDED, pid])
    expect(getPriority(pid)).toBe(niceness)
    setNiceness(1, [pid])
    expect(getPriority(pid)).toBe(niceness)
  } finally {
    child.kill('SIGKILL')
  }
})

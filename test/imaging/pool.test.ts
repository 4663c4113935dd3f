/** The pool with real renderer processes, and what happens when they hang, crash, wear out or are closed. */
import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { BEHIND_ANSWERS } from '../../src/core/niceness.ts'
import type { RenderPlan } from '../../src/core/render-plan.ts'
import { createRendererPool, type RendererPool } from '../../src/imaging/pool.ts'
import { threadNiceness } from '../fixtures/thread-niceness.ts'
import { corners, corpus, PLAN, scratchFolder } from './pictures.ts'

const patient = new AbortController().signal

const renderVia = async (pool: RendererPool, path: string, plan: Partial<RenderPlan> = {}, signal = patient) => {
  const { facts } = await pool.probe(path, patient)
  return pool.render({ path, bytes: statSync(path).size, facts, plan: { ...PLAN, ...plan } }, signal)
}

/** A picture that takes a renderer a second or so: many pixels for the dearest encoder. */
const SLOW: Partial<RenderPlan> = { format: 'avif', quality: 'lossless', width: 2500, enlarge: true }
/** One that it never gets to the end of here: several seconds, also where this process is the one that is held up. */
const ENDLESS: Partial<RenderPlan> = { ...SLOW, width: 6000 }

const pictures = async () => {
  const scratch = await scratchFolder()
  const small = await scratch.write('small.png', await corners(60, 40).png().toBuffer())
  const noise = corners(1500, 1000).composite([
    {
      input: {
        create: {
          width: 1500,
          height: 1000,
          channels: 3,
          background: 'red',
          noise: { type: 'gaussian', mean: 128, sigma: 60 },
        },
      },
      blend: 'overlay',
    },
  ])
  const large = await scratch.write('large.jpg', await noise.jpeg().toBuffer())
  return { small, large, [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose]() }
}

/** Resolves when `holds` does; the test's own time limit ends a wait in vain. */
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await sleep(5)
}

describe('the renderer pool', () => {
  it('probes and renders in processes of its own, with bytes that keep little more memory than their own', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1 })
    await pool.warm()
    expect(pool.stats).toMatchObject({ started: 1, processes: 1 })
    const { bytes, facts, timing } = await renderVia(pool, files.small, { width: 30 })
    expect(facts).toMatchObject({ format: 'png', width: 30, height: 20, pages: 1, generation: 0 })
    expect(bytes.buffer.byteLength).toBeLessThanOrEqual(bytes.byteLength * 1.125)
    expect(timing.renderMs).toBeGreaterThan(0)
    expect(pool.stats).toMatchObject({ rendered: 1, probed: 1, running: 0, waiting: 0, failed: 0 })
    expect(pool.pids).not.toContain(process.pid)
  })

  it.runIf(process.platform === 'linux')('works at a lower priority than the server, in every thread', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1 })
    await renderVia(pool, files.large, { width: 300 })
    expect(pool.pids.map((pid) => [...threadNiceness(pid)])).toEqual([[BEHIND_ANSWERS]])
  })

  it('answers undecodable for a job that works beyond its deadline, and renders on', async () => {
    await using files = await pictures()
    await using patientPool = createRendererPool({ renderers: 1 })
    const { facts } = await patientPool.probe(files.large, patient)
    const job = { path: files.large, bytes: statSync(files.large).size, facts, plan: { ...PLAN, ...ENDLESS } }
    for (let starved = true; starved; ) {
      await using pool = createRendererPool({ renderers: 1, deadlineMs: 1000 })
      await pool.warm()
      const failed = await pool.render(job, patient).catch((error: unknown) => error)
      // Its priority is low: beside others that take every core it cannot work beyond its deadline, and nothing is shown.
      starved = pool.stats.stalled > 0
      if (starved) continue
      expect(failed).toMatchObject({ kind: 'undecodable', message: expect.stringContaining('longer than 1 s') })
      expect(pool.stats).toMatchObject({ timedOut: 1, stalled: 0, rendered: 0 })
    }
  })

  it('gives a job another process where its own stands still, and does not blame the picture where that does too', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1, deadlineMs: 4000 })
    await pool.warm()
    const stopAll = () => {
      for (const pid of pool.pids) process.kill(pid, 'SIGSTOP')
    }
    stopAll()
    const retried = pool.probe(files.small, patient)
    await expect(retried).resolves.toMatchObject({ facts: { format: 'png' } })
    expect(pool.stats).toMatchObject({ stalled: 1, timedOut: 0, probed: 1, failed: 0 })
    const { facts } = await pool.probe(files.large, patient)
    const job = { path: files.large, bytes: statSync(files.large).size, facts, plan: { ...PLAN, ...ENDLESS } }
    await using stuck = createRendererPool({ renderers: 1, deadlineMs: 3000 })
    // Each process is stopped as soon as it is there, which is when it gets the job.
    const stopping = setInterval(() => {
      for (const pid of stuck.pids) process.kill(pid, 'SIGSTOP')
    }, 1)
    await expect(stuck.render(job, patient)).rejects.toMatchObject({ retryAfterSeconds: 1, kind: 'busy' })
    clearInterval(stopping)
    expect(stuck.stats).toMatchObject({ stalled: 2, rejected: 1 })
  })

  it('answers undecodable for a job whose renderer dies twice, and renders on', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1 })
    await pool.warm()
    const crashing = renderVia(pool, files.large, ENDLESS)
    const refused = expect(crashing).rejects.toMatchObject({
      kind: 'undecodable',
      message: expect.stringContaining('crash'),
    })
    for (const crashed of [0, 1]) {
      await until(() => pool.stats.running === 1 && pool.stats.crashed === crashed && pool.pids.length === 1)
      await sleep(50)
      for (const pid of pool.pids) process.kill(pid, 'SIGSEGV')
    }
    await refused
    await renderVia(pool, files.small)
    expect(pool.stats).toMatchObject({ crashed: 2, rendered: 1 })
  })

  it('starts another process where an idle one has died', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1 })
    await pool.warm()
    for (const pid of pool.pids) process.kill(pid, 'SIGKILL')
    await until(() => pool.stats.processes === 0)
    await renderVia(pool, files.small)
    expect(pool.stats).toMatchObject({ started: 2, crashed: 0, rendered: 1 })
  })

  it('gives a job another process where its own dies', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1 })
    await pool.warm()
    // Stopped first, so that the job is still under way when it dies.
    for (const pid of pool.pids) process.kill(pid, 'SIGSTOP')
    const retried = pool.probe(files.small, patient)
    await until(() => pool.stats.probing === 1)
    await sleep(20)
    for (const pid of pool.pids) process.kill(pid, 'SIGKILL')
    await expect(retried).resolves.toMatchObject({ facts: { format: 'png' } })
    expect(pool.stats).toMatchObject({ started: 2, crashed: 1, failed: 0, probed: 1 })
  })

  it('kills a renderer that grows beyond its memory limit', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1, memoryLimitBytes: 130e6 })
    const { facts } = await pool.probe(files.large, patient)
    const job = { path: files.large, bytes: statSync(files.large).size, facts, plan: { ...PLAN, ...ENDLESS } }
    const greedy = pool.render(job, patient)
    await expect(greedy).rejects.toMatchObject({ kind: 'undecodable', message: expect.stringContaining('memory') })
    expect(pool.stats).toMatchObject({ outOfMemory: 1 })
  })

  it('refuses with busy once its line is full, and forgets a waiting job whose caller left', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1, maxWaiting: 1, deadlineMs: 100_000 })
    const { facts } = await pool.probe(files.large, patient)
    const job = { path: files.large, bytes: statSync(files.large).size, facts, plan: { ...PLAN, ...SLOW } }
    const running = pool.render(job, patient)
    await until(() => pool.stats.running === 1)
    // It stands still for as long as we look, so that it is under way however long that takes.
    const [renderer = 0] = pool.pids
    process.kill(renderer, 'SIGSTOP')
    const caller = new AbortController()
    const waiting = pool.render(job, caller.signal)
    const refused = pool.render(job, patient)
    await expect(refused).rejects.toMatchObject({ kind: 'busy', retryAfterSeconds: expect.any(Number) })
    caller.abort(new Error('the client left'))
    await expect(waiting).rejects.toThrow('the client left')
    expect(pool.stats).toMatchObject({ running: 1, waiting: 0, waitingCost: 0, rejected: 1 })
    // Probes have a place of their own: this one is answered while the render runs.
    await pool.probe(files.small, patient)
    expect(pool.stats).toMatchObject({ running: 1, rendered: 0 })
    process.kill(renderer, 'SIGCONT')
    await running
    expect(pool.stats.rendered).toBe(1)
  })

  it('replaces a process after its share of jobs, without failing one', async () => {
    await using files = await pictures()
    await using pool = createRendererPool({ renderers: 1, recycleAfterJobs: 5 })
    const { facts } = await pool.probe(files.small, patient)
    const job = { path: files.small, bytes: statSync(files.small).size, facts, plan: { ...PLAN, width: 20 } }
    const [before] = pool.pids
    while (pool.stats.recycled < 2) await pool.render(job, patient)
    expect(pool.pids).not.toContain(before)
    expect(pool.stats).toMatchObject({ failed: 0, crashed: 0 })
  })

  it('drains when closed: the running job ends, the waiting one is refused, no process stays', async () => {
    await using files = await pictures()
    const pool = createRendererPool({ renderers: 1 })
    const { facts } = await pool.probe(files.large, patient)
    const job = { path: files.large, bytes: statSync(files.large).size, facts, plan: { ...PLAN, ...SLOW } }
    const running = pool.render(job, patient)
    await until(() => pool.stats.running === 1)
    const waiting = pool.render(job, patient)
    const pids = pool.pids
    const refused = expect(waiting).rejects.toMatchObject({ kind: 'busy' })
    await pool.close()
    await refused
    expect((await running).facts.format).toBe('avif')
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    await expect(pool.probe(files.small, patient)).rejects.toMatchObject({ kind: 'busy' })
  })

  it('kills what is still running when the grace is over', async () => {
    await using files = await pictures()
    const pool = createRendererPool({ renderers: 1, graceMs: 50 })
    const running = renderVia(pool, files.large, SLOW)
    // Not the picture's fault, so not an answer to remember.
    const lost = expect(running).rejects.toMatchObject({ kind: 'busy' })
    await until(() => pool.stats.running === 1)
    for (const pid of pool.pids) process.kill(pid, 'SIGSTOP')
    await pool.close()
    await lost
    expect(pool.stats.processes).toBe(0)
  })

  it('says that a file is missing, not that it is broken', async () => {
    await using pool = createRendererPool({ renderers: 1 })
    await expect(pool.probe('/nowhere/at-all', patient)).rejects.toMatchObject({ kind: 'internal' })
  })
})

describe('hostile files', () => {
  const REFUSALS = ['unsupported-type', 'undecodable', 'too-large']

  it.runIf(corpus('hostile').length)(
    'each ends in a refusal or a picture, and the pool is well afterwards',
    { timeout: 180_000 },
    async () => {
      await using pool = createRendererPool({ renderers: 2, deadlineMs: 20_000 })
      const ask = (path: string) =>
        renderVia(pool, path, { width: 200, format: 'webp' }).then(
          ({ facts }) => `${facts.width}`,
          (error: { kind?: string }) => error.kind ?? String(error),
        )
      let rejected = 0
      for (const path of corpus('hostile')) {
        let outcome = await ask(path)
        // "Come back" says that the renderer got no processor at its low priority: a word about the machine, none about the file.
        for (; outcome === 'busy'; outcome = await ask(path)) rejected += 1
        expect(REFUSALS.includes(outcome) || Number(outcome) >= 1, `${path}: ${outcome}`).toBe(true)
      }
      await using files = await pictures()
      await renderVia(pool, files.small)
      expect(pool.stats).toMatchObject({ rejected, crashed: 0, outOfMemory: 0, running: 0, waiting: 0 })
      expect(pool.stats.rssBytes).toBeLessThan(3 * 300e6)
    },
  )

  it.for([
    ['a PNG of 60,000 × 60,000', 'too-large'],
    ['a JPEG cut in half', 'undecodable'],
    ['a script', 'unsupported-type'],
  ])('refuses %s made here', async ([name, kind]) => {
    await using scratch = await scratchFolder()
    await using pool = createRendererPool({ renderers: 1 })
    const png = await corners(16, 16).png().toBuffer()
    png.writeUInt32BE(60_000, 16)
    png.writeUInt32BE(60_000, 20)
    // The header's checksum has to be right, or it is the checksum that is refused.
    png.writeUInt32BE((await import('node:zlib')).crc32(png.subarray(12, 29)), 29)
    const jpeg = await corners(400, 400).jpeg().toBuffer()
    const bytes =
      kind === 'too-large' ? png : kind === 'undecodable' ? jpeg.subarray(0, jpeg.length / 2) : Buffer.from('#!/bin/sh')
    const path = await scratch.write(name ?? '', bytes)
    await expect(renderVia(pool, path)).rejects.toMatchObject({ kind })
  })
})

import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createInProcessLeases } from '../../src/coordination/in-process.ts'
import { AppError } from '../../src/core/errors.ts'
import type { RenderPlan } from '../../src/core/render-plan.ts'
import { createObtain, type ObtainPorts } from '../../src/delivery/obtain.ts'
import { createRenderOnce } from '../../src/delivery/render-once.ts'
import { createTiers } from '../../src/delivery/tiers.ts'
import type { Renderer } from '../../src/imaging/renderer-port.ts'
import { key, subjectOf, variantOf } from './picture.ts'

const forever = new AbortController().signal

const plan: RenderPlan = {
  format: 'webp',
  fit: 'inside',
  gravity: 'center',
  enlarge: false,
  rotate: 0,
  flip: false,
  flop: false,
  quality: 'auto',
  alternatives: [],
}

const originals: ObtainPorts['originals'] = {
  open: async () => ({ path: '/nowhere', [Symbol.asyncDispose]: async () => {} }),
}

const emptyStore = {
  find: async () => undefined,
  put: async () => {},
  touch: () => {},
  removeOf: async () => 0,
}

const build = (render: Renderer['render'], memoryBytes = 1_000_000) =>
  createObtain({
    tiers: createTiers(emptyStore, { memoryBytes, onFault: () => {} }),
    originals,
    renderer: { render },
    once: createRenderOnce({ leases: createInProcessLeases(), reachable: async () => {}, maxWaitMs: 1_000 }),
  })

const wanted = { subject: subjectOf('public'), key, plan, admit: () => {} }
const rendered = { ...variantOf('pixels'), timing: { queueMs: 1, renderMs: 2 } }

describe('obtaining a variant', () => {
  it('renders once for 400 who ask at the same moment, and answers all', async () => {
    let renders = 0
    const obtain = build(async () => {
      renders += 1
      await sleep(20)
      return rendered
    })
    const answers = await Promise.all(Array.from({ length: 400 }, () => obtain(wanted, forever)))
    expect(renders).toBe(1)
    expect(answers.filter((answer) => !answer.collapsed)).toHaveLength(1)
    expect((await obtain(wanted, forever)).tier).toBe('memory')
  })

  it('remembers for a while that a picture cannot be decoded', async () => {
    let renders = 0
    const obtain = build(async () => {
      renders += 1
      throw new AppError('undecodable', 'broken')
    })
    for (let i = 0; i < 3; i += 1) await expect(obtain(wanted, forever)).rejects.toMatchObject({ kind: 'undecodable' })
    expect(renders).toBe(1)
  })

  it('tries again after a failure that was not the picture', async () => {
    const outcomes: (() => never | typeof rendered)[] = [
      () => {
        throw new AppError('busy', 'queue full', { retryAfterSeconds: 1 })
      },
      () => rendered,
    ]
    const obtain = build(async () => (outcomes.shift() ?? (() => rendered))())
    await expect(obtain(wanted, forever)).rejects.toMatchObject({ kind: 'busy' })
    expect((await obtain(wanted, forever)).tier).toBe('render')
  })

  it('asks for admission before a render, not before a hit', async () => {
    let admissions = 0
    const obtain = build(async () => rendered)
    const counting = {
      ...wanted,
      admit: () => {
        admissions += 1
      },
    }
    await obtain(counting, forever)
    await obtain(counting, forever)
    expect(admissions).toBe(1)
  })
})

import { describe, expect, it } from 'vitest'
import type { DeliverySubject } from '../../src/core/asset.ts'
import type { Digest } from '../../src/core/ids.ts'
import { admit } from '../../src/delivery/admission.ts'
import { createSubjects } from '../../src/delivery/subjects.ts'
import { digest, subjectOf } from './picture.ts'

/** Notices whose connection the test can cut. */
const noticeBoard = () => {
  const listeners = new Set<(changed: Digest | 'all') => void>()
  const tell = (changed: Digest | 'all') => {
    for (const listener of listeners) listener(changed)
  }
  let live = true
  return {
    publish: async (changed: Digest) => {
      tell(changed)
      return { instances: 0, confirmed: 0, tiers: {} }
    },
    subscribe: (listener: (changed: Digest | 'all') => void) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    live: () => live,
    /** As a driver does: at a loss it is no longer live when it tells, and live only after it has told again. */
    cut: () => {
      live = false
      tell('all')
    },
    mend: () => {
      tell('all')
      live = true
    },
  }
}

describe('remembered subjects', () => {
  it('reads once for many requests, and again after a change', async () => {
    const notices = noticeBoard()
    let reads = 0
    let access: DeliverySubject['access'] = 'public'
    const subjects = createSubjects(async () => {
      reads += 1
      return subjectOf(access)
    }, notices)
    const entries = await Promise.all([subjects.find(digest), subjects.find(digest), subjects.find(digest)])
    expect(reads).toBe(1)
    access = 'private'
    await notices.publish(digest)
    expect(entries.map((entry) => entry.current)).toEqual([false, false, false])
    expect((await subjects.find(digest)).subject?.access).toBe('private')
    expect(reads).toBe(2)
  })

  it('does not believe a read that was under way when the change came', async () => {
    const notices = noticeBoard()
    const first = Promise.withResolvers<DeliverySubject>()
    const answers = [first.promise, Promise.resolve(subjectOf('private'))]
    const subjects = createSubjects(() => answers.shift() ?? Promise.reject(new Error('read too often')), notices)
    const asked = subjects.find(digest)
    await notices.publish(digest)
    first.resolve(subjectOf('public'))
    expect((await asked).subject?.access).toBe('private')
  })

  it('remembers that a hash is unknown until somebody uploads it', async () => {
    const notices = noticeBoard()
    let uploaded = false
    const subjects = createSubjects(async () => (uploaded ? subjectOf('public') : undefined), notices)
    expect((await subjects.find(digest)).subject).toBeUndefined()
    uploaded = true
    await notices.publish(digest)
    expect((await subjects.find(digest)).subject?.access).toBe('public')
  })

  it('believes nothing it remembers while it may miss notices, and nothing from before afterwards', async () => {
    const notices = noticeBoard()
    let reads = 0
    const subjects = createSubjects(async () => {
      reads += 1
      return subjectOf('public')
    }, notices)
    const before = await subjects.find(digest)
    notices.cut()
    expect([before.current, subjects.peek(digest), subjects.size]).toEqual([false, undefined, 0])
    const during = [await subjects.find(digest), await subjects.find(digest)]
    // Not current: the hot path does not take it, and a request that renders asks again before it sends.
    expect([during.map((entry) => entry.current), reads, subjects.size]).toEqual([[false, false], 3, 0])
    notices.mend()
    expect((await subjects.find(digest)).current).toBe(true)
    await subjects.find(digest)
    expect(reads).toBe(4)
  })

  it('does not keep a read that was under way when notices were lost', async () => {
    const notices = noticeBoard()
    const first = Promise.withResolvers<DeliverySubject>()
    const answers = [first.promise]
    const subjects = createSubjects(async () => answers.shift() ?? subjectOf('private'), notices)
    const asked = subjects.find(digest)
    notices.cut()
    notices.mend()
    first.resolve(subjectOf('public'))
    expect((await asked).subject?.access).toBe('private')
  })
})

describe('admission', () => {
  it.for([
    ['public', false, false, 'served'],
    ['public', false, true, 'served'],
    ['private', false, false, 'not-found'],
    ['private', false, true, 'served'],
    ['deleted', true, false, 'gone'],
    ['deleted', false, false, 'not-found'],
    ['deleted', false, true, 'gone'],
  ] as const)(
    'of a %s subject (once public: %s) to a request signed: %s is %s',
    ([access, wasPublic, signed, outcome]) => {
      const ask = () => admit(subjectOf(access, wasPublic), digest, signed)
      if (outcome === 'served') expect(ask().digest).toBe(digest)
      else expect(ask).toThrow(expect.objectContaining({ kind: outcome }))
    },
  )
})

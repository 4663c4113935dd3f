import { describe, expect, it } from 'vitest'
import type { DeliverySubject } from '../../src/core/asset.ts'
import type { Digest } from '../../src/core/ids.ts'
import { admit } from '../../src/delivery/admission.ts'
import { createSubjects } from '../../src/delivery/subjects.ts'
import { digest, subjectOf } from './picture.ts'

const noticeBoard = () => {
  const listeners = new Set<(changed: Digest | 'all') => void>()
  let live = true
  const tell = (changed: Digest | 'all') => {
    for (const listener of listeners) listener(changed)
  }
  return {
    publish: async (changed: Digest) => tell(changed),
    live: () => live,
    /** The subscription is lost (false) or back (true). */
    turn: (on: boolean) => {
      live = on
      tell('all')
    },
    subscribe: (listener: (changed: Digest | 'all') => void) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
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
})

describe('while notices do not arrive', () => {
  it('every look is a new one, and nothing that was known before or read meanwhile counts afterwards', async () => {
    const notices = noticeBoard()
    let reads = 0
    let access: DeliverySubject['access'] = 'public'
    const subjects = createSubjects(async () => {
      reads += 1
      return subjectOf(access)
    }, notices)
    const before = await subjects.find(digest)
    notices.turn(false)
    expect(before.current).toBe(false)
    expect(subjects.peek(digest)).toBeUndefined()
    const during = await subjects.find(digest)
    access = 'private'
    expect((await subjects.find(digest)).subject?.access).toBe('private')
    notices.turn(true)
    expect(during.current).toBe(false)
    expect(subjects.peek(digest)).toBeUndefined()
    expect((await subjects.find(digest)).current).toBe(true)
    expect(reads).toBe(4)
  })

  it('a read that was under way when they stopped is not believed', async () => {
    const notices = noticeBoard()
    const first = Promise.withResolvers<DeliverySubject>()
    const answers = [first.promise, Promise.resolve(subjectOf('private'))]
    const subjects = createSubjects(() => answers.shift() ?? Promise.reject(new Error('read too often')), notices)
    const asked = subjects.find(digest)
    notices.turn(false)
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

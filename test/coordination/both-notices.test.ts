import { describe, expect, it } from 'vitest'
import { bothNotices } from '../../src/coordination/both-notices.ts'
import { NOBODY_ASKED } from '../../src/coordination/coordination.ts'
import { createSubscribers } from '../../src/coordination/subscribers.ts'
import { type Digest, parseDigest } from '../../src/core/ids.ts'

const digest = parseDigest('ab'.repeat(32))

/** A way that is up or down as told, and hears what it is made to hear. */
const way = () => {
  const { tell, subscribe } = createSubscribers()
  const state = { live: true }
  return { tell, state, notices: { publish: async () => NOBODY_ASKED, subscribe, live: () => state.live } }
}

const both = () => {
  const [sure, quick] = [way(), way()]
  const joined = bothNotices(sure.notices, quick.notices)
  const heard: (Digest | 'all')[] = []
  joined.subscribe((changed) => void heard.push(changed))
  return { sure, quick, joined, heard }
}

describe('notices over two ways', () => {
  it('are relied on while either is heard', () => {
    const { sure, quick, joined } = both()
    sure.state.live = false
    expect(joined.live()).toBe(true)
    quick.state.live = false
    expect(joined.live()).toBe(false)
    sure.state.live = true
    expect(joined.live()).toBe(true)
  })

  it('forget nothing for the loss of the one while the other is heard, and everything when it is back', () => {
    const { sure, heard } = both()
    sure.state.live = false
    sure.tell('all')
    expect(heard).toEqual([])
    sure.state.live = true
    sure.tell('all')
    expect(heard).toEqual(['all'])
  })

  it('forget everything for the loss of the one while the other is not heard either, or comes back', () => {
    const { sure, quick, heard } = both()
    sure.state.live = false
    quick.state.live = false
    sure.tell('all')
    quick.tell('all')
    quick.state.live = true
    expect(heard).toEqual(['all', 'all'])
  })

  it('pass a change on from each', () => {
    const { sure, quick, heard } = both()
    sure.state.live = false
    quick.tell(digest)
    sure.tell(digest)
    expect(heard).toEqual([digest, digest])
  })
})

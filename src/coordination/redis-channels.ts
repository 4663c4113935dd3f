/**
 * Publish and subscribe, with the knowledge whether it works: each second this instance sends itself a message through Redis. What
 * was not heard for three seconds, or broke, may have missed notices; Redis does not send them again.
 */
import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { hangUp, type RedisConnection } from './redis-connection.ts'

const BEAT_EVERY_MS = 1_000
/** Three beats: one may be late on a busy machine. */
const DEAF_AFTER_MS = 3_000

export interface ChannelStats {
  published: number
  received: number
  /** Times that notices may have been missed. */
  lost: number
}

export interface Channels extends Disposable {
  /** This process among the instances: random, new at each start. */
  readonly instance: string
  /** @returns how many connections it was sent to, this instance's own included. @throws as `RedisConnection.run`. */
  publish(channel: string, text: string): Promise<number>
  /** To one instance only. */
  send(instance: string, text: string): Promise<number>
  /** Of what is published on a channel, by anyone. One handler a channel. */
  on(channel: string, handler: (text: string) => void): void
  /** Of what is sent to this instance. */
  onSent(handler: (text: string) => void): void
  /** Called when messages may have been missed: at a loss, and again when they are heard once more, before `live` says so. */
  onGap(handler: () => void): void
  /** Called each time that the channels were just found to work. */
  onBeat(handler: () => void): void
  live(): boolean
  readonly stats: Readonly<ChannelStats>
}

const BEAT = 'beat'

/** Call `on…` at once after it, before anything is heard. */
export const createChannels = (connection: RedisConnection): Channels => {
  const { prefix, run } = connection
  const instance = randomBytes(9).toString('base64url')
  const own = `to:${instance}`
  const stats: ChannelStats = { published: 0, received: 0, lost: 0 }
  const handlers = new Map<string, (text: string) => void>()
  let sentHandler: (text: string) => void = () => {}

  const publish = async (channel: string, text: string): Promise<number> => {
    stats.published += 1
    return run((client) => client.publish(prefix + channel, text))
  }
  // A beat that cannot be sent is one that is not heard.
  const beat = () => void publish(own, BEAT).catch(() => {})

  const hearing = createHearing(() => {
    stats.lost += 1
    // A line that went silent without closing would be believed for minutes: a new one tells.
    subscription.renew()
  })
  handlers.set(own, (text) => (text === BEAT ? hearing.beat() : sentHandler(text)))
  const subscription = createSubscription(connection.subscriber(), {
    names: () => [...handlers.keys()].map((channel) => prefix + channel),
    opened: beat,
    closed: hearing.lose,
    heard: (channel, text) => {
      stats.received += 1
      handlers.get(channel.slice(prefix.length))?.(text)
    },
  })
  const beating = setInterval(() => (subscription.isOpen() ? beat() : subscription.open()), BEAT_EVERY_MS)
  beating.unref()

  return {
    instance,
    publish,
    send: (to, text) => publish(`to:${to}`, text),
    on: (channel, handler) => void handlers.set(channel, handler),
    onSent: (handler) => {
      sentHandler = handler
    },
    onGap: hearing.onGap,
    onBeat: hearing.onBeat,
    live: hearing.live,
    stats,
    [Symbol.dispose]: () => {
      clearInterval(beating)
      hearing[Symbol.dispose]()
      subscription[Symbol.dispose]()
    },
  }
}

interface SubscriptionEvents {
  readonly names: () => readonly string[]
  readonly opened: () => void
  readonly closed: () => void
  readonly heard: (channel: string, text: string) => void
}

/** All channels on one connection, subscribed to whenever it is ready. */
const createSubscription = (subscriber: Redis, events: SubscriptionEvents) => {
  let subscribed = false
  const open = () => {
    if (subscriber.status !== 'ready') return
    subscriber.subscribe(...events.names()).then(
      () => {
        subscribed = true
        events.opened()
      },
      // Tried again with the next beat; until then nothing counts as heard.
      () => {},
    )
  }
  subscriber.on('ready', open)
  subscriber.on('message', events.heard)
  subscriber.on('close', () => {
    subscribed = false
    events.closed()
  })
  return {
    open,
    isOpen: () => subscribed,
    /** Drops a connection that seems open, for a new one. */
    renew: () => {
      if (subscribed) subscriber.disconnect(true)
    },
    [Symbol.dispose]: () => hangUp(subscriber),
  }
}

/** Whether messages are heard without a gap: since a beat came through, and until one is overdue or the connection closes. */
const createHearing = (onLoss: () => void) => {
  const gapHandlers: (() => void)[] = []
  const beatHandlers: (() => void)[] = []
  let whole = false
  let heardAt = Number.NEGATIVE_INFINITY

  const lose = () => {
    if (!whole) return
    whole = false
    onLoss()
    for (const handler of gapHandlers) handler()
  }
  const overdue = setTimeout(lose, DEAF_AFTER_MS)
  overdue.unref()

  return {
    beat: () => {
      heardAt = performance.now()
      overdue.refresh()
      if (!whole) for (const handler of gapHandlers) handler()
      whole = true
      for (const handler of beatHandlers) handler()
    },
    lose,
    onGap: (handler: () => void) => void gapHandlers.push(handler),
    onBeat: (handler: () => void) => void beatHandlers.push(handler),
    live: () => whole && performance.now() - heardAt < DEAF_AFTER_MS,
    [Symbol.dispose]: () => clearTimeout(overdue),
  }
}

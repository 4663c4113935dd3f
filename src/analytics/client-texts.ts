/** Who asked, as text: the columns that say something of the client, made from raw headers within bounds of time and memory. */
import { LRUCache } from 'lru-cache'
import type { EventOccurrence } from '../core/event.ts'
import { clientPrefix, countryCode, hostOf, referrerAuthority } from './client-facts.ts'
import { agentText, escapeText } from './event-row.ts'
import { MAX_AGENT_CHARS, parseAgent, UNKNOWN_AGENT } from './user-agent.ts'

/**
 * 4,096 User-Agents of at most 512 characters are 2 MB. Of whole clients only the last is remembered: a memo's entries come
 * and go with visitors and cost more in garbage than they save (tried as a two-generation map: 5–9 µs an event with 60,000
 * clients, where computing costs 1).
 */
const AGENTS = 4096
const HOSTS = 4096
/** 500 × 50 µs = 2.5 % of a core: the most that a flood of made-up User-Agents can cost. */
const AGENT_PARSES_PER_SECOND = 500

/** Makes columns `device` … `client_prefix` of an event, a tab before and after, and a newline. `now` is in Unix milliseconds. */
export const createClientTexts = (onAgentSkipped: () => void, parsesPerSecond = AGENT_PARSES_PER_SECOND) => {
  const agents = new LRUCache<string, string>({ max: AGENTS })
  const hosts = new LRUCache<string, string>({ max: HOSTS })
  const unknown = agentText(UNKNOWN_AGENT)
  let lastAgent: string | undefined
  let lastAgentText = ''
  let lastReferrer = ''
  let lastHost = ''
  let lastCountry = ''
  let lastAddress = ''
  let lastPrefix = ''
  let lastText: string | undefined
  let second = 0
  let parses = 0

  // Requests of one page and connection come in a row: to compare with the last is cheaper than to hash, look up or parse.
  const agentOf = (userAgent: string, now: number): string => {
    if (userAgent !== lastAgent) {
      const text = lookUpAgent(userAgent, now)
      // One that was not looked at is asked about again.
      lastAgent = text === undefined ? undefined : userAgent
      lastAgentText = text ?? unknown
    }
    return lastAgentText
  }
  const lookUpAgent = (userAgent: string, now: number): string | undefined => {
    const text = userAgent.length > MAX_AGENT_CHARS ? userAgent.slice(0, MAX_AGENT_CHARS) : userAgent
    const known = agents.get(text)
    if (known !== undefined) return known
    if (now - second >= 1000 || now < second) {
      second = now
      parses = 0
    }
    if (++parses > parsesPerSecond) {
      onAgentSkipped()
      return undefined
    }
    const facts = detached(agentText(parseAgent(text)))
    agents.set(detached(text), facts)
    return facts
  }
  const hostOfReferrer = (referrer: string): string => {
    if (referrer !== lastReferrer) {
      lastReferrer = referrer
      lastHost = lookUpHost(referrer)
    }
    return lastHost
  }
  const lookUpHost = (referrer: string): string => {
    const authority = referrerAuthority(referrer)
    if (authority === '') return ''
    const known = hosts.get(authority)
    if (known !== undefined) return known
    const host = escapeText(hostOf(authority))
    hosts.set(detached(authority), host)
    return host
  }
  const prefixOf = (address: string): string => {
    if (address !== lastAddress) {
      lastAddress = address
      lastPrefix = clientPrefix(address)
    }
    return lastPrefix
  }
  return (o: EventOccurrence, now: number): string => {
    const same =
      o.userAgent === lastAgent &&
      o.referrer === lastReferrer &&
      o.country === lastCountry &&
      o.clientAddress === lastAddress
    if (same && lastText !== undefined) return lastText
    lastCountry = o.country
    lastText = `${agentOf(o.userAgent, now)}${hostOfReferrer(o.referrer)}\t${countryCode(o.country)}\t${prefixOf(o.clientAddress)}\t\n`
    return lastText
  }
}

/**
 * The same text in memory of its own. V8 keeps a slice as a pointer into its parent, so a slice kept as a memo's key would
 * keep a whole 16 KB header alive. UTF-16 because it is exact for any string, lone surrogates included.
 */
const detached = (text: string): string => Buffer.from(text, 'utf16le').toString('utf16le')

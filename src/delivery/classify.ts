/** Negotiation remembered: the same few header sets come with millions of requests, so a class is looked up, not found again. */
import { LRUCache } from 'lru-cache'
import type { Classify } from './deliver.ts'
import { formOf, type NegotiatedClass, type NegotiationTables, negotiate } from './negotiate.ts'

/** ~400 B an entry with its joined headers: 4 MB. */
const MAX_REMEMBERED = 10_000
/** Header text past this is no browser's; it is negotiated each time instead of filling the memory. */
const MAX_KEY_CHARS = 1_024

/**
 * @returns a function of a route, its picture and the request's headers. Its result depends on the form, on what the picture
 * needs and on the headers the form consults: exactly what the memory's key is made of.
 */
export const createClassify = (tables: NegotiationTables): Classify => {
  const remembered = new LRUCache<string, NegotiatedClass>({ max: MAX_REMEMBERED })
  return (route, subject, header) => {
    const { facts } = subject
    // An explicit URL consults nothing, the picture included: its class is found once.
    if (route.consulted.length === 0) {
      route.explicitClass ??= negotiate(formOf(route.transform), facts, header, tables)
      return route.explicitClass
    }
    let key = `${route.formKey}${facts.hasAlpha ? 'a' : '-'}${facts.animated ? 'm' : '-'}${facts.format}`
    for (const name of route.consulted) key += `\n${header(name) ?? ''}`
    const known = remembered.get(key)
    if (known) return known
    const klass = negotiate(formOf(route.transform), facts, header, tables)
    if (key.length <= MAX_KEY_CHARS) remembered.set(key, klass)
    return klass
  }
}

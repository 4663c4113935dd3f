/** Negotiation remembered: the same few header sets come with millions of requests, so a class is looked up, not found again. */
import type { Classify } from './deliver.ts'
import { createGenerations } from './generations.ts'
import { formOf, type NegotiatedClass, type NegotiationTables, negotiate, type Picture } from './negotiate.ts'

/** ~400 B an entry with its joined headers: 4 MB. */
const MAX_REMEMBERED = 10_000
/** Header text past this is no browser's; it is negotiated each time instead of filling the memory. */
const MAX_KEY_CHARS = 1_024

/** Who asked last, and for what: requests of one page and connection come in a row, and to compare is cheaper than to join and hash. */
interface Asked {
  readonly formKey: string
  readonly picture: Picture
  /** Of the consulted headers, in their order. */
  readonly values: readonly (string | undefined)[]
  readonly klass: NegotiatedClass
}

/**
 * @returns a function of a route, its picture and the request's headers. Its result depends on the form, on what the picture
 * needs and on the headers the form consults: exactly what the memory's key is made of.
 */
export const createClassify = (tables: NegotiationTables): Classify => {
  const remembered = createGenerations<string, NegotiatedClass>(MAX_REMEMBERED)
  let last: Asked | undefined
  return (route, { facts }, header) => {
    const { formKey, consulted } = route
    // An explicit URL consults nothing, the picture included: its class is found once.
    if (consulted.length === 0) {
      route.explicitClass ??= negotiate(formOf(route.transform), facts, header, tables)
      return route.explicitClass
    }
    if (last?.formKey === formKey && samePicture(last.picture, facts) && sameValues(last.values, consulted, header))
      return last.klass
    const values = consulted.map(header)
    const key = `${formKey}${facts.hasAlpha ? 'a' : '-'}${facts.animated ? 'm' : '-'}${facts.format}\n${values.join('\n')}`
    const known = remembered.get(key)
    const klass = known ?? negotiate(formOf(route.transform), facts, header, tables)
    if (key.length > MAX_KEY_CHARS) return klass
    if (!known) remembered.set(key, klass)
    last = { formKey, picture: facts, values, klass }
    return klass
  }
}

const sameValues = (
  values: Asked['values'],
  names: readonly string[],
  header: (name: string) => string | undefined,
): boolean => {
  for (let at = 0; at < names.length; at += 1) if (header(names[at] ?? '') !== values[at]) return false
  return true
}

const samePicture = (a: Picture, b: Picture): boolean =>
  a.hasAlpha === b.hasAlpha && a.animated === b.animated && a.format === b.format

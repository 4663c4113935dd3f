/** JSON Schema 2020-12, as OpenAPI 3.1 uses it, for people: a type in words, a tree of properties, an example value. */
import { el } from './dom.js'

/** Follows `$ref` inside the document (RFC 6901 pointers). What is not there shows as an empty schema: anything goes. */
export const resolve = (spec, thing) => {
  let found = thing
  for (let hops = 0; found?.$ref && hops < 16; hops++) found = lookUp(spec, found.$ref)
  return found ?? {}
}

const lookUp = (spec, pointer) =>
  pointer
    .replace(/^#\//, '')
    .split('/')
    .map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((node, part) => node?.[part], spec)

const refName = (schema) => schema?.$ref?.split('/').at(-1)

const choicesOf = (schema) => schema.oneOf ?? schema.anyOf

/** One line: `string (uuid)`, `array of Asset`, `integer or null`. */
export const typeText = (spec, schema) => {
  const own = resolve(spec, schema)
  const name = refName(schema)
  if (name) return name
  if ('const' in own) return JSON.stringify(own.const)
  if (choicesOf(own))
    return choicesOf(own)
      .map((choice) => typeText(spec, choice))
      .join(' or ')
  if (own.allOf) return own.allOf.map((part) => typeText(spec, part)).join(' and ')
  const types = [own.type ?? (own.properties ? 'object' : own.enum ? typeof own.enum[0] : 'any')].flat()
  return types
    .map((type) => {
      if (type === 'array' && own.items) return `array of ${typeText(spec, own.items)}`
      return type === 'string' && own.format ? `string (${own.format})` : type
    })
    .join(' or ')
}

const LIMITS = [
  ['minimum', '≥'],
  ['exclusiveMinimum', '>'],
  ['maximum', '≤'],
  ['exclusiveMaximum', '<'],
  ['minLength', 'length ≥'],
  ['maxLength', 'length ≤'],
  ['minItems', 'items ≥'],
  ['maxItems', 'items ≤'],
  ['pattern', 'matches'],
]

/** Bounds, default and example as short texts. */
export const limitTexts = (schema) => [
  ...LIMITS.filter(([key]) => schema[key] !== undefined).map(([key, sign]) => `${sign} ${schema[key]}`),
  ...(schema.default !== undefined ? [`default ${JSON.stringify(schema.default)}`] : []),
]

/** Descriptions are plain text with `code` and blank lines between paragraphs; nothing else of Markdown is read. */
export const prose = (text) =>
  (text ?? '')
    .split(/\n{2,}/)
    .filter((paragraph) => paragraph.trim())
    .map((paragraph) =>
      el(
        'p',
        {},
        paragraph.split('`').map((piece, i) => (i % 2 ? el('code', {}, piece) : piece)),
      ),
    )

const enumLine = (schema) =>
  schema.enum &&
  el(
    'div',
    { class: 'enum' },
    'one of ',
    schema.enum.map((value) => [el('code', {}, JSON.stringify(value)), ' ']),
  )

/** What lies inside an object, an array or a union; nothing for a plain value. */
const insideOf = (spec, schema, seen) => {
  const own = resolve(spec, schema)
  const name = refName(schema)
  if (name && seen.includes(name)) return [el('p', { class: 'soft' }, `${name}, as above`)]
  const path = name ? [...seen, name] : seen
  if (own.allOf) return own.allOf.flatMap((part) => insideOf(spec, part, path))
  const choices = choicesOf(own)?.filter((choice) => hasInside(spec, choice))
  if (choices?.length === 1) return insideOf(spec, choices[0], path)
  if (choices?.length) {
    return choices.map((choice) =>
      el('div', { class: 'choice' }, el('b', {}, typeText(spec, choice)), insideOf(spec, choice, path)),
    )
  }
  if (own.items) return insideOf(spec, own.items, path)
  const properties = Object.entries(own.properties ?? {})
  if (typeof own.additionalProperties === 'object') properties.push(['any other name', own.additionalProperties])
  if (properties.length === 0) return []
  const rows = properties.map(([key, value]) =>
    el('li', {}, describeValue(spec, key, value, (own.required ?? []).includes(key), path)),
  )
  return [el('ul', { class: 'tree' }, rows)]
}

const hasInside = (spec, schema) => {
  const own = resolve(spec, schema)
  return (
    Boolean(own.properties || own.allOf || choicesOf(own) || typeof own.additionalProperties === 'object') ||
    Boolean(own.items && hasInside(spec, own.items))
  )
}

/** One named value: name, type, whether it must be there, limits, meaning, and what is inside it. */
export const describeValue = (spec, name, schema, required, seen = []) => {
  const own = resolve(spec, schema)
  const limits = limitTexts(own)
  return [
    el(
      'div',
      { class: 'head' },
      el('code', { class: 'key-name' }, name),
      el('span', { class: 'type' }, typeText(spec, schema)),
      required && el('span', { class: 'must' }, 'required'),
      limits.length > 0 && el('span', { class: 'soft' }, limits.join(', ')),
    ),
    enumLine(own.items ? resolve(spec, own.items) : own),
    ...prose(schema.description ?? own.description),
    ...insideOf(spec, schema, seen),
  ]
}

/** A whole schema without a name: the body of a request or of an answer. */
export const describeSchema = (spec, schema) => [
  el('div', { class: 'head' }, el('span', { class: 'type' }, typeText(spec, schema))),
  enumLine(resolve(spec, schema)),
  ...insideOf(spec, schema, []),
]

/** A value that the schema would accept, from its examples, else made from types; recursion ends in null. */
export const exampleOf = (spec, schema, depth = 0) => {
  const own = resolve(spec, schema)
  const given = own.example ?? own.examples?.[0] ?? own.default ?? own.const ?? own.enum?.[0]
  if (given !== undefined || depth > 6) return given ?? null
  if (own.allOf) return Object.assign({}, ...own.allOf.map((part) => exampleOf(spec, part, depth + 1)))
  if (choicesOf(own)) return exampleOf(spec, choicesOf(own)[0], depth + 1)
  const type = [own.type].flat()[0]
  if (own.properties || type === 'object') {
    const required = own.required ?? []
    const wanted = Object.entries(own.properties ?? {}).filter(
      ([key]) => required.length === 0 || required.includes(key),
    )
    return Object.fromEntries(wanted.map(([key, value]) => [key, exampleOf(spec, value, depth + 1)]))
  }
  if (type === 'array') return own.items ? [exampleOf(spec, own.items, depth + 1)] : []
  if (type === 'integer' || type === 'number') return own.minimum ?? 1
  if (type === 'boolean') return true
  return type === 'string' ? 'text' : null
}

/** The API browser: an index by tag, a filter, and each operation opened by click or by its address (`/docs#operationId`). */
import { byId, el, put } from './dom.js'
import { describeOperation, operationsOf } from './operation.js'
import { prose } from './schema.js'

const method = (operation) => el('span', { class: `method ${operation.method.toLowerCase()}` }, operation.method)

const createEntry = (spec, operation) => {
  const inside = el('div', { class: 'inside' })
  const title = el(
    'summary',
    {},
    method(operation),
    el('code', { class: 'path' }, operation.path),
    el('span', { class: 'summary' }, operation.summary ?? ''),
  )
  const block = el('details', { class: 'operation card', id: operation.id }, title, inside)
  block.addEventListener('toggle', () => {
    if (!block.open) return
    if (!inside.hasChildNodes()) put(inside, describeOperation(spec, operation))
    if (location.hash.slice(1) !== operation.id) history.replaceState(null, '', `#${operation.id}`)
  })
  const link = el('a', { href: `#${operation.id}` }, method(operation), el('span', {}, operation.path))
  const words = [
    operation.method,
    operation.path,
    operation.id,
    operation.summary,
    operation.description,
    operation.tag,
  ]
  return { operation, block, link, haystack: words.join(' ').toLowerCase() }
}

/** One `<section>` for each tag, in the document's own order of tags. */
const groupByTag = (spec, entries) => {
  const declared = (spec.tags ?? []).map(({ name }) => name)
  const tags = [...new Set([...declared, ...entries.map(({ operation }) => operation.tag)])]
  return tags
    .map((tag) => ({
      tag,
      description: spec.tags?.find(({ name }) => name === tag)?.description,
      members: entries.filter(({ operation }) => operation.tag === tag),
    }))
    .filter(({ members }) => members.length > 0)
}

const openFromAddress = (entries) => {
  const id = decodeURIComponent(location.hash.slice(1))
  const entry = entries.find(({ operation }) => operation.id === id)
  if (!entry) return
  entry.block.open = true
  entry.block.scrollIntoView({ block: 'start' })
}

const show = (spec) => {
  byId('title').textContent = `${spec.info?.title ?? 'API'} ${spec.info?.version ?? ''}`
  put(byId('about'), prose(spec.info?.description))
  const entries = operationsOf(spec).map((operation) => createEntry(spec, operation))
  const groups = groupByTag(spec, entries).map(({ tag, description, members }) => ({
    members,
    list: el(
      'div',
      {},
      el('h2', {}, tag),
      members.map(({ link }) => link),
    ),
    section: el(
      'section',
      { 'aria-label': tag },
      el('h2', {}, tag),
      prose(description),
      members.map(({ block }) => block),
    ),
  }))
  put(
    byId('index'),
    groups.map(({ list }) => list),
  )
  put(
    byId('operations'),
    groups.map(({ section }) => section),
  )

  const filter = () => {
    const wanted = byId('filter').value.toLowerCase().split(/\s+/).filter(Boolean)
    for (const { block, link, haystack } of entries) {
      const fits = wanted.every((word) => haystack.includes(word))
      block.hidden = !fits
      link.hidden = !fits
    }
    for (const { members, list, section } of groups) {
      list.hidden = section.hidden = members.every(({ block }) => block.hidden)
    }
    const left = entries.filter(({ block }) => !block.hidden).length
    byId('found').textContent = `${left} of ${entries.length} operations`
  }
  byId('filter').addEventListener('input', filter)
  filter()
  addEventListener('hashchange', () => openFromAddress(entries))
  openFromAddress(entries)
}

try {
  const response = await fetch('/openapi.json')
  if (!response.ok) throw new Error(`/openapi.json answered ${response.status}`)
  show(await response.json())
} catch (error) {
  byId('state').className = 'error'
  byId('state').textContent = `The API document could not be read: ${error.message}`
}

/** One variant, requested twice: what it weighs, how long it took, and who answered. */

const TINY = {
  'image/avif':
    'AAAAHGZ0eXBhdmlmAAAAAG1pZjFhdmlmbWlhZgAAANZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAAA+gABAAAAAAAAACAAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABhdjAxAAAAAA5waXRtAAAAAAABAAAAVmlwcnAAAAA4aXBjbwAAAAxhdjFDgQAMAAAAABRpc3BlAAAAAAAAAAEAAAABAAAAEHBpeGkAAAAAAwgICAAAABZpcG1hAAAAAAAAAAEAAQOBAgMAAAAobWRhdBIACggYAAaICGg0IDISH/eHhRXf///iz8AAkDWOPH7c',
  'image/webp': 'UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEADMDOJaQAA3AA/uxnAAA=',
}

const canShow = async (type) => {
  const image = new Image()
  image.src = `data:${type};base64,${TINY[type]}`
  return image.decode().then(
    () => true,
    () => false,
  )
}

/** A script's request says `Accept: *`; this is what the browser's own `<img>` would say, as far as negotiation goes. */
export const imageAccept = async () => {
  const types = Object.keys(TINY)
  const shown = await Promise.all(types.map(canShow))
  return [...types.filter((_, i) => shown[i]), 'image/*', '*/*;q=0.8'].join(',')
}

/**
 * Who answered, from `Cache-Status` (RFC 9211): members are ordered from the origin to the client, so the last one with
 * `hit` is nearest. None: it was made for this request.
 */
export const answeredBy = (cacheStatus) => {
  const members = (cacheStatus ?? '').split(',').map((member) => member.split(';').map((part) => part.trim()))
  const hit = members.findLast(([, ...parameters]) => parameters.includes('hit'))
  if (hit) return hit[0].replace(/^"|"$/g, '').replace(/^oriel-/, '')
  return cacheStatus?.includes('collapsed') ? 'joined' : 'render'
}

/** From the first byte sent to the last received, without the browser's own queue; wall clock where there is no entry. */
const networkMs = (url, startedAt) => {
  const entry = performance
    .getEntriesByName(new URL(url, location.href).href, 'resource')
    .findLast(({ startTime }) => startTime >= startedAt - 1)
  return entry?.responseEnd && entry.requestStart
    ? entry.responseEnd - entry.requestStart
    : performance.now() - startedAt
}

const SHOWN_HEADERS = [
  'Content-Type',
  'X-Variant-Class',
  'Cache-Status',
  'Server-Timing',
  'Vary',
  'Cache-Control',
  'ETag',
]

/** Past the browser's own cache, which would otherwise be what is measured. */
const requestOnce = async (url, accept) => {
  const startedAt = performance.now()
  const response = await fetch(url, { cache: 'no-store', headers: { Accept: accept } })
  const body = await response.blob()
  const ms = networkMs(url, startedAt)
  return { response, body, ms }
}

/** Answers 429 and 503 say when to come back; a page that measures twenty variants at once can wait its turn. */
const MOST_TRIES = 5
const request = async (url, accept) => {
  for (let tries = 1; ; tries++) {
    const answer = await requestOnce(url, accept)
    const seconds = Number(answer.response.headers.get('Retry-After'))
    if (answer.response.ok || !seconds || tries === MOST_TRIES) return answer
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  }
}

/** @throws Error with the problem's detail, when the server answers with one. */
export const measureVariant = async (url, accept) => {
  const first = await request(url, accept)
  if (!first.response.ok) {
    const { detail, title } = await first.body
      .text()
      .then(JSON.parse)
      .catch(() => ({}))
    throw new Error(`${first.response.status}: ${detail ?? title ?? 'no reason given'}`)
  }
  const then = await request(url, accept)
  const header = (name) => then.response.headers.get(name)
  return {
    url,
    body: then.body,
    bytes: then.body.size,
    format: (header('Content-Type') ?? '').replace(/^image\//, '').replace(/\+.*/, ''),
    firstMs: first.ms,
    firstBy: answeredBy(first.response.headers.get('Cache-Status')),
    firstTiming: first.response.headers.get('Server-Timing'),
    thenMs: then.ms,
    thenBy: answeredBy(header('Cache-Status')),
    headers: SHOWN_HEADERS.map((name) => [name, header(name)]).filter(([, value]) => value),
  }
}

/** Runs the tasks in order, at most `width` at a time. */
export const inTurns = async (tasks, width) => {
  const queue = tasks.values()
  const worker = async () => {
    for (const task of queue) await task()
  }
  await Promise.all(Array.from({ length: width }, worker))
}

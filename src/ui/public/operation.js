/** One operation of the API on the page: what it takes, what it answers, and a curl line that calls it. */
import { copyBlock, el } from './dom.js'
import { describeSchema, describeValue, exampleOf, prose, resolve } from './schema.js'

const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete', 'options']

/** Every operation of the document, flat, with the parameters of its path merged in. */
export const operationsOf = (spec) =>
  Object.entries(spec.paths ?? {}).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => {
      const own = item[method]
      const parameters = [...(item.parameters ?? []), ...(own.parameters ?? [])].map((p) => resolve(spec, p))
      return {
        ...own,
        path,
        method: method.toUpperCase(),
        parameters,
        id: own.operationId ?? [method, ...(path.match(/[a-zA-Z0-9]+/g) ?? [])].join('-'),
        tag: own.tags?.[0] ?? 'other',
        secured: (own.security ?? spec.security ?? []).some((scheme) => Object.keys(scheme).length > 0),
      }
    }),
  )

/** Inside single quotes of a shell, a single quote is written by leaving them for a moment. */
const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`

const exampleParameter = (spec, parameter) => {
  const named = Object.values(parameter.examples ?? {})[0]
  const schema = resolve(spec, parameter.schema ?? {})
  return parameter.example ?? named?.value ?? schema.example ?? schema.examples?.[0]
}

/** Path values without an example stay as `NAME`, for the reader to fill in; optional queries are left out. */
const urlOf = (spec, operation, origin) => {
  const byPlace = (place) => operation.parameters.filter((p) => p.in === place)
  let path = operation.path
  for (const p of byPlace('path'))
    path = path.replaceAll(
      new RegExp(`\\{${p.name}(\\{[^}]*\\})?[^}]*\\}`, 'g'),
      () => exampleParameter(spec, p) ?? p.name.toUpperCase(),
    )
  const query = byPlace('query')
    .filter((p) => p.required)
    .map((p) => `${p.name}=${encodeURIComponent(exampleParameter(spec, p) ?? p.name.toUpperCase())}`)
  return origin + path + (query.length > 0 ? `?${query.join('&')}` : '')
}

const bodyArguments = (spec, operation) => {
  const content = Object.entries(resolve(spec, operation.requestBody ?? {}).content ?? {})
  const [type, media] = content.find(([name]) => name.includes('json')) ?? content[0] ?? []
  if (!type) return []
  if (type.startsWith('multipart/')) return [`-F ${quoted('file=@photo.jpg')}`]
  const header = `-H ${quoted(`Content-Type: ${type.includes('*') ? 'image/jpeg' : type}`)}`
  if (!type.includes('json')) return [header, `--data-binary ${quoted('@photo.jpg')}`]
  const example = media.example ?? Object.values(media.examples ?? {})[0]?.value ?? exampleOf(spec, media.schema)
  return [header, `-d ${quoted(JSON.stringify(example))}`]
}

const VERBS = { GET: '', HEAD: '-I' }

/** A command that works once `$ORIEL_KEY` holds an API key. */
export const curlLine = (spec, operation, origin) =>
  [
    ['curl', VERBS[operation.method] ?? `-X ${operation.method}`, quoted(urlOf(spec, operation, origin))]
      .filter(Boolean)
      .join(' '),
    ...(operation.secured ? ['-H "Authorization: Bearer $ORIEL_KEY"'] : []),
    ...operation.parameters
      .filter((p) => p.in === 'header' && p.required)
      .map((p) => `-H ${quoted(`${p.name}: ${exampleParameter(spec, p) ?? p.name.toUpperCase()}`)}`),
    ...bodyArguments(spec, operation),
  ].join(' \\\n  ')

const mediaBlocks = (spec, content) =>
  Object.entries(content ?? {}).map(([type, media]) => {
    const example = media.example ?? Object.values(media.examples ?? {})[0]?.value
    return el(
      'div',
      { class: 'media' },
      el('code', { class: 'media-type' }, type),
      media.schema && describeSchema(spec, media.schema),
      example !== undefined && copyBlock(JSON.stringify(example, null, 2), 'the example'),
    )
  })

const responseBlock = (spec, status, reference) => {
  const response = resolve(spec, reference)
  const headers = Object.entries(response.headers ?? {})
  return el(
    'details',
    { class: 'response', open: /^2/.test(status) },
    el('summary', {}, el('b', { class: /^[23]/.test(status) ? 'ok' : 'ko' }, status), ` ${response.description ?? ''}`),
    headers.length > 0 &&
      el(
        'ul',
        { class: 'tree' },
        headers.map(([name, header]) => {
          const own = resolve(spec, header)
          return el('li', {}, describeValue(spec, name, { ...own.schema, description: own.description }, own.required))
        }),
      ),
    mediaBlocks(spec, response.content),
  )
}

const section = (title, ...children) => [el('h3', {}, title), ...children]

/** Everything under an operation's title; made when it is opened first. */
export const describeOperation = (spec, operation) => {
  const body = resolve(spec, operation.requestBody ?? {})
  return [
    ...prose(operation.description),
    operation.deprecated && el('p', { class: 'error' }, 'Deprecated.'),
    operation.secured &&
      el('p', { class: 'soft' }, 'Needs a bearer token: ', el('code', {}, 'Authorization: Bearer <API key>')),
    ...section('Call it', copyBlock(curlLine(spec, operation, location.origin), 'the curl line')),
    ...(operation.parameters.length > 0
      ? section(
          'Parameters',
          el(
            'ul',
            { class: 'tree' },
            operation.parameters.map((p) =>
              el(
                'li',
                {},
                el('span', { class: 'place' }, p.in),
                describeValue(
                  spec,
                  p.name,
                  { ...resolve(spec, p.schema), description: p.description ?? resolve(spec, p.schema).description },
                  p.required,
                ),
              ),
            ),
          ),
        )
      : []),
    ...(body.content
      ? section(
          `Body${body.required ? '' : ' (optional)'}`,
          ...prose(body.description),
          ...mediaBlocks(spec, body.content),
        )
      : []),
    ...section(
      'Answers',
      ...Object.entries(operation.responses ?? {}).map(([status, response]) => responseBlock(spec, status, response)),
    ),
  ]
}

/** Calls to the API with the key of this tab, and its faults as words. */

const KEY_NAME = 'oriel-key'

/**
 * The key of this tab. A link `/#key=…` (the server prints one at first start) brings it; it is taken out of the address at
 * once, so that it is neither bookmarked nor shared. A fragment is never sent to a server.
 */
export const takeKeyFromAddress = () => {
  const key = new URLSearchParams(location.hash.slice(1)).get('key')
  if (!key) return false
  setKey(key)
  history.replaceState(null, '', location.pathname + location.search)
  return true
}

export const getKey = () => sessionStorage.getItem(KEY_NAME) ?? ''

export const setKey = (key) => {
  if (key) sessionStorage.setItem(KEY_NAME, key)
  else sessionStorage.removeItem(KEY_NAME)
}

/** What went wrong, from problem+json (RFC 9457) where the answer is that. */
class ProblemError extends Error {
  constructor(status, body) {
    super(describe(status, body))
    this.status = status
  }
}

const describe = (status, body) => {
  try {
    const { detail, title } = JSON.parse(body)
    if (detail || title) return `${detail ?? title} (${status})`
  } catch {
    // Not JSON: a proxy between here and the server answered.
  }
  return `The server answered ${status}${body ? `: ${body.slice(0, 200)}` : ''}`
}

/** @returns parsed JSON, or undefined for an empty answer. */
export const call = async (method, path, body) => {
  const headers = { Authorization: `Bearer ${getKey()}` }
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  const response = await fetch(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
  const text = await response.text()
  if (!response.ok) throw new ProblemError(response.status, text)
  return text ? JSON.parse(text) : undefined
}

/** XMLHttpRequest, because fetch tells nothing of an upload's progress. `onProgress` is given 0…1. */
export const upload = (file, onProgress, signal) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', `/assets/upload?filename=${encodeURIComponent(file.name)}`)
    request.setRequestHeader('Authorization', `Bearer ${getKey()}`)
    request.setRequestHeader('Content-Type', file.type || 'application/octet-stream')
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total)
    request.onload = () => {
      if (request.status >= 300) reject(new ProblemError(request.status, request.responseText))
      else resolve(JSON.parse(request.responseText))
    }
    request.onerror = () => reject(new Error('The server could not be reached, or closed the connection'))
    request.onabort = () => reject(new Error('Upload cancelled'))
    signal.addEventListener('abort', () => request.abort(), { once: true })
    request.send(file)
  })

/** Widths for which the answer lists a negotiated URL: `urls['320']`, ascending. */
export const offeredWidths = (asset) => Object.keys(asset.urls).map(Number).filter(Boolean)

/** URLs may carry the public host name of a CDN in front; this page measures the server that it came from. */
export const here = (url) => {
  const { pathname, search } = new URL(url, location.href)
  return pathname + search
}

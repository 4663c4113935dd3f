/** Which server, and by which key: from options, the environment, and on this very machine the data folder. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Options } from './arguments.ts'
import { EXIT, Stop, usageFault } from './exit.ts'
import type { World } from './world.ts'

export const SERVER_OPTIONS = {
  server: { type: 'string', value: '<url>', note: 'the server; else ORIEL_SERVER, else http://localhost:3000' },
  'key-file': { type: 'string', value: '<file>', note: 'a file with the API key; else ORIEL_KEY' },
  json: { type: 'boolean', note: 'JSON on standard output, one object a line' },
} as const satisfies Options

export const KEY_NOTE =
  'The key is never an argument, since arguments are visible to every user of a machine. Without one, a server on this machine\n' +
  'is asked with its own admin key, if the data folder (ORIEL_DATA, else ./data) is here and readable.'

const DEFAULT_SERVER = 'http://localhost:3000'

/** Visible ASCII, as the server's guard takes it. */
const KEY = /^[\x21-\x7e]{1,512}$/

export interface Server {
  /** Without a slash at its end; may have a path, behind a proxy. */
  readonly url: string
  readonly key: string
}

/** @throws Stop `usage` for an address that is none or a key file that cannot be read; `unreachable` where there is no key. */
export const chooseServer = (
  values: { readonly server: string | undefined; readonly 'key-file': string | undefined },
  { env, err }: Pick<World, 'env' | 'err'>,
): Server => {
  const url = parseAddress(values.server ?? (env.ORIEL_SERVER || DEFAULT_SERVER))
  const key = findKey(values['key-file'], url, env)
  if (!KEY.test(key)) throw usageFault('the key is not one line of visible ASCII characters')
  if (url.protocol === 'http:' && !isLoopback(url))
    err(`oriel: warning: the key goes to ${url.host} unencrypted; use https where others can listen\n`)
  return { url: url.href.replace(/\/+$/, ''), key }
}

const parseAddress = (text: string): URL => {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol))
    throw usageFault(`the server is an address such as https://images.example, not ${JSON.stringify(text)}`)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw usageFault("the server's address has no user, password, query or fragment")
  return url
}

/** RFC 6761 §6.3 for the name, RFC 1122 §3.2.1.3 for 127/8, RFC 4291 §2.5.3 for ::1. */
export const isLoopback = ({ hostname }: URL): boolean =>
  /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname)

const findKey = (keyFile: string | undefined, url: URL, env: World['env']): string => {
  if (keyFile !== undefined) return readKey(keyFile)
  if (env.ORIEL_KEY) return env.ORIEL_KEY.trim()
  const local = resolve(join(env.ORIEL_DATA || 'data', 'admin-key'))
  const found = isLoopback(url) ? readIfAny(local) : undefined
  if (found) return found
  const looked = isLoopback(url) ? ` (there is no readable ${local} either)` : ''
  throw new Stop(EXIT.unreachable, `no key: set ORIEL_KEY, or name a file with --key-file${looked}`)
}

const readKey = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw usageFault(`cannot read the key file ${path}: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}

const readIfAny = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** `oriel sign`: signs a delivery URL here, with a key file. The server is not asked. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppError } from '../core/errors.ts'
import { splitTarget } from '../delivery/query.ts'
import { createSigningKeys, mintUrl, type SigningKeys } from '../delivery/signature.ts'
import { parseKeyFile } from '../first-start.ts'
import { defineCommand, duration, type Options } from './arguments.ts'
import { EXIT, usageFault } from './exit.ts'
import type { World } from './world.ts'

const OPTIONS = {
  expires: { type: 'string', value: '<time>', note: 'from now, such as 15m, 1h or 7d (default 1h)' },
  kid: { type: 'string', value: '<id>', note: 'the key to sign with (default: the first)' },
  keys: {
    type: 'string',
    value: '<file>',
    note: 'one kid:secret a line; else ORIEL_SIGNING_KEYS, else signing-keys of the data folder',
  },
  json: { type: 'boolean', note: 'JSON on standard output' },
} as const satisfies Options

export const sign = defineCommand({
  name: 'sign',
  summary: 'Signs an image URL, so that private pictures and sizes off the ladder are served until it expires.',
  operands: '<url>',
  count: [1, 1],
  options: OPTIONS,
  run: async ({ values, operands: [text = ''] }, world) => {
    const keys = readKeys(values.keys, world.env)
    const expSeconds = Math.floor(Date.now() / 1000) + duration('expires', values.expires ?? '1h')
    const { url, kid } = signUrl(text, keys, values.kid, expSeconds)
    const expiresAt = new Date(expSeconds * 1000).toISOString()
    world.out(values.json ? `${JSON.stringify({ url, kid, expires_at: expiresAt })}\n` : `${url}\n`)
    return EXIT.done
  },
})

/**
 * @param text an address, or a path from `/i/`; an old signature in it gives way.
 * @throws Stop `usage` for a URL that is none of ours, and for a key that there is not.
 */
export const signUrl = (
  text: string,
  keys: SigningKeys,
  wanted: string | undefined,
  expSeconds: number,
): { readonly url: string; readonly kid: string } => {
  // Behind a proxy there may be a path in front, which the server does not see.
  const [, prefix, target] = /^((?:https?:\/\/[^/?#]+)?(?:\/[^?#]*?)?)(\/i\/[0-9a-f]{64}\/[^#]+)$/.exec(text) ?? []
  if (prefix === undefined || target === undefined)
    throw usageFault(`not an image URL, such as https://img.example/i/<hash>/800x.auto: ${JSON.stringify(text)}`)
  const kid = wanted ?? keys.keys().next().value
  const key = kid === undefined ? undefined : keys.get(kid)
  if (kid === undefined || !key)
    throw usageFault(`no signing key ${JSON.stringify(wanted)}; there are ${[...keys.keys()].join(', ')}`)
  try {
    const { path, query } = splitTarget(target)
    const params = Object.fromEntries(query.options.map(({ name, value }) => [name, value]))
    return { url: prefix + mintUrl({ path, params, kid, key, expSeconds }), kid }
  } catch (error) {
    if (error instanceof AppError) throw usageFault(error.message)
    throw error
  }
}

/** @throws Stop `usage` naming the file that cannot be read or has no key. */
const readKeys = (file: string | undefined, env: World['env']): SigningKeys => {
  const inline = file === undefined ? env.ORIEL_SIGNING_KEYS : undefined
  const path = file ?? join(env.ORIEL_DATA || 'data', 'signing-keys')
  try {
    const entries = parseKeyFile(inline ? inline.replaceAll(',', '\n') : readFileSync(path, 'utf8'))
    if (entries.length === 0) throw new Error('no line kid:secret, the secret of 16 characters or more')
    return createSigningKeys(entries)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw usageFault(`signing keys from ${inline ? 'ORIEL_SIGNING_KEYS' : path}: ${why}`)
  }
}

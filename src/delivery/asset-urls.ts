/** URLs for the asset API to hand out: plain ones for public assets, signed and expiring ones for private. */
import type { KeyObject } from 'node:crypto'
import type { AssetUrls } from '../http/asset-document.ts'
import { parseQuery } from './query.ts'
import { mintUrl, type SigningKeys } from './signature.ts'

/** CONTRACT §3: five minutes by default. */
const SIGNED_SECONDS = 300

/**
 * @param keys the first signs.
 */
export const createAssetUrls = (keys: SigningKeys): AssetUrls => {
  const [signer] = keys
  if (!signer) throw new Error('no signing key')
  const signed: AssetUrls['signed'] = (publicUrl, asset, tail) => {
    const expSeconds = Math.floor(Date.now() / 1000) + SIGNED_SECONDS
    return { url: publicUrl + signTail(signer, asset.digest, tail, expSeconds), expiresAt: new Date(expSeconds * 1000) }
  }
  return {
    ready: (publicUrl, asset, tail) =>
      asset.visibility === 'public' ? `${publicUrl}/i/${asset.digest}/${tail}` : signed(publicUrl, asset, tail).url,
    signed,
  }
}

const signTail = (
  [kid, key]: readonly [string, KeyObject],
  digest: string,
  tail: string,
  expSeconds: number,
): string => {
  const mark = tail.indexOf('?')
  const path = `/i/${digest}/${mark < 0 ? tail : tail.slice(0, mark)}`
  const options = mark < 0 ? [] : parseQuery(tail.slice(mark + 1)).pairs
  return mintUrl({
    path,
    params: Object.fromEntries(options.map(({ name, value }) => [name, value])),
    kid,
    key,
    expSeconds,
  })
}

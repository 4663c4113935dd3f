/** PNG reduced to the chunks that make its pixels and say their colour (W3C PNG, third edition, §11). */
const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex')
/** APNG's chunks are left out on purpose: our encoder writes still PNGs, and both ways must show the same. */
const KEPT = new Set(['IHDR', 'PLTE', 'tRNS', 'IDAT', 'IEND', 'gAMA', 'cHRM', 'sRGB', 'cICP', 'sBIT'])
/** An embedded profile overrules these (§13.13); where it is dropped as plain sRGB, so must they be. */
const OVERRULED = new Set(['gAMA', 'cHRM', 'sRGB'])

/** @param profile `keep` for a picture whose colours need its embedded profile; any other is taken for sRGB and dropped. */
export const stripPng = (bytes: Buffer, profile: 'keep' | 'drop' = 'drop'): Buffer | undefined => {
  if (!bytes.subarray(0, 8).equals(SIGNATURE)) return undefined
  const chunks: { readonly type: string; readonly bytes: Buffer }[] = []
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 12 + bytes.readUInt32BE(at)
    const type = bytes.toString('latin1', at + 4, at + 8)
    if (end > bytes.length) return undefined
    chunks.push({ type, bytes: bytes.subarray(at, end) })
    if (type === 'IEND') break
    at = end
  }
  if (chunks.at(-1)?.type !== 'IEND') return undefined
  const hasProfile = chunks.some(({ type }) => type === 'iCCP')
  const kept = chunks.filter(({ type }) =>
    type === 'iCCP' ? profile === 'keep' : KEPT.has(type) && !(hasProfile && OVERRULED.has(type)),
  )
  return Buffer.concat([SIGNATURE, ...kept.map((chunk) => chunk.bytes)])
}

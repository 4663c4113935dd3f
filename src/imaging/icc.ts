/** The name of an ICC profile, and what it says about the work to be done. Pure; the profile is as untrusted as its file. */

/** Tags of ICC.1:2022 §7 that matter: the description in `desc`, ASCII (v2) or UTF-16BE (v4). */
const SRGB_NAMES = /^(sRGB|sRGB IEC61966-2\.1|sRGB IEC61966-2-1.*|sRGB built-in|sRGB2014|c2)$/

const profileName = (icc: Buffer): string => {
  const tags = icc.length >= 132 ? Math.min(icc.readUInt32BE(128), 100) : 0
  for (let at = 132; at < 132 + tags * 12 && at + 12 <= icc.length; at += 12) {
    if (icc.toString('latin1', at, at + 4) !== 'desc') continue
    const start = icc.readUInt32BE(at + 4)
    const tag = icc.subarray(start, start + Math.min(icc.readUInt32BE(at + 8), 512))
    const text = tag.toString('latin1', 0, 4) === 'mluc' ? tag.toString('latin1', 28) : tag.toString('latin1', 12)
    return text
      .replaceAll('\0', ' ')
      .replace(/\s+/g, tag.toString('latin1', 0, 4) === 'mluc' ? '' : ' ')
      .trim()
  }
  return ''
}

/** A profile by one of sRGB's usual names converts sRGB to sRGB; the names without spaces serve the UTF-16 form. */
export const needsConversion = (icc: Buffer | undefined): boolean => {
  if (!icc) return false
  const name = profileName(icc)
  return !SRGB_NAMES.test(name) && name !== 'sRGBIEC61966-2.1' && name !== 'sRGBbuilt-in'
}

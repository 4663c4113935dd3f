/** Comparisons of numbers as patterns over their digits, for dialects without arithmetic. */

/** Most decimals compared: 15 and one digit before the point are 16, which a double still tells apart below 8 (2⁻⁵⁰ ≈ 9e-16). */
const MAX_DECIMALS = 15

/** A whole number from 0 to `limit`, without leading zeros. */
export const upTo = (limit: number): string => {
  const digits = String(limit)
  const sameLength = [...digits].flatMap((digit, at) => {
    const least = at === 0 && digits.length > 1 ? 1 : 0
    return Number(digit) <= least
      ? []
      : [`${digits.slice(0, at)}[${least}-${Number(digit) - 1}]${anyDigits(digits.length - at - 1)}`]
  })
  const shorter = digits.length === 1 ? [] : digits.length === 2 ? ['\\d'] : ['\\d', `[1-9]\\d{1,${digits.length - 2}}`]
  return `(?:${[...shorter, ...sameLength, digits].join('|')})`
}

const anyDigits = (count: number): string => (count === 0 ? '' : count === 1 ? '\\d' : `\\d{${count}}`)

/** A decimal number from 0 to `limit`, of which two digits before the point and 15 behind it are understood. */
export const decimalUpTo = (limit: number): RegExp => {
  const [whole = '0', fraction = ''] = String(limit).split('.')
  const below = Number(whole) > 0 ? [`${upTo(Number(whole) - 1)}(?:\\.\\d+)?`] : []
  // Each digit of the limit's fraction in turn may be smaller, or the number may end before it.
  const smaller = [...fraction].flatMap((digit, at) => {
    const same = fraction.slice(0, at)
    return [...(at > 0 ? [same] : []), ...(digit === '0' ? [] : [`${same}[0-${Number(digit) - 1}]\\d*`])]
  })
  const equal = `${whole}(?:\\.(?:${[...smaller, `${fraction}0${fraction === '' ? '+' : '*'}`].join('|')}))?`
  return new RegExp(`^(?=\\d{1,2}(?:\\.\\d{1,${MAX_DECIMALS}})?$)(?:${[...below, equal].join('|')})$`)
}

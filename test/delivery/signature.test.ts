/** Signatures: the published vectors, and that whatever is changed in a signed URL is noticed. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseDigest } from '../../src/core/ids.ts'
import { assertGranted, assertWidthGranted, type Policy } from '../../src/delivery/policy.ts'
import { parseQuery, splitTarget } from '../../src/delivery/query.ts'
import {
  createSigningKeys,
  mintPolicy,
  mintUrl,
  signPath,
  type Verdict,
  verifySignature,
} from '../../src/delivery/signature.ts'
import vectors from '../vectors/signature.json' with { type: 'json' }

const entries = Object.entries(vectors.keys).map(([kid, secret]) => ({ kid, secret }))
const keys = createSigningKeys(entries)
const keyOf = (kid: string) => {
  const key = keys.get(kid)
  if (!key) throw new Error(`no key ${kid}`)
  return key
}
const DIGEST = parseDigest('9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08')
const PATH = `/i/${DIGEST}/800x600.webp`
const NOW = 1_900_000_000

const verify = (url: string, live = keys, nowSeconds = NOW): Verdict =>
  verifySignature({ ...splitTarget(url), keys: live, nowSeconds })
const forbidden = expect.objectContaining({ name: 'AppError', kind: 'forbidden' })
const minted = (params: Readonly<Record<string, string>> = {}, path = PATH) =>
  mintUrl({ path, params, kid: 'k1', key: keyOf('k1'), expSeconds: NOW + 300 })

describe('the published vectors', () => {
  it.for(vectors.urls)('$note', ({ kid, path, query, signedText, sig, url }) => {
    const secret = entries.find((entry) => entry.kid === kid)?.secret ?? ''
    expect(createHmac('sha256', secret).update(signedText).digest('base64url')).toBe(sig)
    expect(signPath(path, parseQuery(query).pairs, keyOf(kid))).toBe(sig)
    expect(verify(url)).toMatchObject({ kind: 'signed', kid })
  })

  it.for(vectors.policies)('policy: $note', ({ kid, policy, pol, sig }) => {
    const secret = entries.find((entry) => entry.kid === kid)?.secret ?? ''
    expect(createHmac('sha256', secret).update(pol).digest('base64url')).toBe(sig)
    expect(JSON.parse(Buffer.from(pol, 'base64url').toString())).toEqual(policy)
    expect(verify(`${PATH}?pol=${pol}&sig=${sig}`)).toMatchObject({ kind: 'policy', kid, exp: policy.exp, policy })
    expect(mintPolicy({ policy: policy as Policy, kid, key: keyOf(kid) })).toBe(`kid=${kid}&pol=${pol}&sig=${sig}`)
  })
})

describe('a signed URL', () => {
  it('is valid as minted, with its options in any order', () => {
    expect(verify(minted({ fit: 'cover', g: '0.3,0.7', bg: '#fff' }))).toEqual({
      kind: 'signed',
      kid: 'k1',
      exp: NOW + 300,
    })
    const [path, query = ''] = minted({ fit: 'cover', q: '80' }).split('?')
    expect(verify(`${path}?${query.split('&').toReversed().join('&')}`).kind).toBe('signed')
  })

  it('is refused after any change of one character, wherever it is', () => {
    const url = minted({ fit: 'cover', q: '80' })
    fc.assert(
      fc.property(fc.nat(url.length - 1), fc.constantFrom(...'aZ09-_.,xh&=?/'), (at, character) => {
        fc.pre(url[at] !== character)
        const tampered = url.slice(0, at) + character + url.slice(at + 1)
        // Without its `?` it has no query, so no signature: a stranger's URL, which is no right gained.
        if (url[at] === '?') expect(verify(tampered).kind).toBe('unsigned')
        else expect(() => verify(tampered)).toThrow(expect.objectContaining({ name: 'AppError' }))
      }),
      { numRuns: 1000 },
    )
  })

  it.for([
    ['another size', (url: string) => url.replace('800x600', '801x600')],
    ['another format', (url: string) => url.replace('.webp', '.avif')],
    ['another image', (url: string) => url.replace('/i/9f', '/i/8f')],
    ['the original', (url: string) => url.replace('800x600.webp', 'original')],
    ['another case', (url: string) => url.replace('/i/', '/I/')],
    ['another value', (url: string) => url.replace('q=80', 'q=90')],
    ['another encoding of the value', (url: string) => url.replace('q=80', 'q=%380')],
    ['an option more', (url: string) => `${url}&blur=3`],
    ['an option less', (url: string) => url.replace('q=80&', '')],
    ['a later expiry', (url: string) => url.replace('exp=19', 'exp=29')],
    ['no expiry', (url: string) => url.replace(/exp=\d+&/, '')],
    ['another live key', (url: string) => url.replace('kid=k1', 'kid=k2')],
    ['an unknown key', (url: string) => url.replace('kid=k1', 'kid=k9')],
    ['no key id', (url: string) => url.replace('kid=k1&', '')],
    ['no signature', (url: string) => url.replace(/&sig=.*/, '')],
    ['an empty signature', (url: string) => url.replace(/sig=.*/, 'sig=')],
    ['a shortened signature', (url: string) => url.slice(0, -1)],
    ['a padded signature', (url: string) => `${url}=`],
    [
      'a signature in another case',
      (url: string) => url.replace(/sig=(.*)/, (_, sig: string) => `sig=${sig.toUpperCase()}`),
    ],
  ] as const)('is refused for %s', ([, tamper]) => {
    const url = minted({ q: '80' })
    expect(tamper(url)).not.toBe(url)
    expect(() => verify(tamper(url))).toThrow(forbidden)
  })

  it('expires at its second, and never without exp', () => {
    const url = minted()
    expect(verify(url, keys, NOW + 299.9).kind).toBe('signed')
    expect(() => verify(url, keys, NOW + 300)).toThrow(forbidden)
    const endless = `${PATH}?kid=k1&sig=${signPath(PATH, parseQuery('kid=k1').pairs, keyOf('k1'))}`
    expect(verify(endless)).toMatchObject({ exp: Number.POSITIVE_INFINITY })
  })

  it.for(['', '1e12', '-5', '0x10', '99999999999999', 'never'])(
    'is refused with the expiry %o, although signed',
    (exp) => {
      const query = `exp=${exp}&kid=k1`
      expect(() => verify(`${PATH}?${query}&sig=${signPath(PATH, parseQuery(query).pairs, keyOf('k1'))}`)).toThrow(
        forbidden,
      )
    },
  )

  it('lives through a rotation as long as its key does', () => {
    const url = minted()
    expect(verify(url, createSigningKeys([{ kid: 'new', secret: 'a new key of 20 bytes' }, ...entries])).kind).toBe(
      'signed',
    )
    expect(() => verify(url, createSigningKeys(entries.filter(({ kid }) => kid !== 'k1')))).toThrow(forbidden)
  })

  it('needs one of its parameters at least to be one', () => {
    expect(verify(`${PATH}?q=80`)).toEqual({ kind: 'unsigned' })
    for (const stray of ['exp=2000000000', 'kid=k1', 'pol=abc'])
      expect(() => verify(`${PATH}?${stray}`)).toThrow(forbidden)
  })
})

describe('a policy', () => {
  const policy: Policy = { h: DIGEST, w: [100, 800], f: ['webp', 'jpg'], exp: NOW + 60 }
  const grant = (more: Partial<Policy> = {}, kid = 'k1') =>
    mintPolicy({ policy: { ...policy, ...more }, kid, key: keyOf(kid) })

  it('opens every path it is appended to, until it expires', () => {
    expect(verify(`${PATH}?dpr=2&${grant()}`)).toMatchObject({ kind: 'policy', exp: NOW + 60, policy })
    expect(() => verify(`${PATH}?${grant()}`, keys, NOW + 60)).toThrow(forbidden)
  })

  it.for([
    ['a changed policy', () => grant().replace(/pol=(...)./, 'pol=$1Z')],
    ['a changed signature', () => grant().replace(/.$/, 'A').replace(/sig=./, 'sig=_')],
    [
      'the signature of a path',
      () => grant().replace(/sig=.*/, `sig=${signPath(PATH, parseQuery('kid=k1').pairs, keyOf('k1'))}`),
    ],
    ['another key', () => grant().replace('kid=k1', 'kid=k2')],
    ['a key it does not name', () => grant({ kid: 'k2' })],
    ['a later expiry beside it', () => `exp=${NOW + 900}&${grant()}`],
  ] as const)('is refused with %s', ([, query]) => {
    expect(() => verify(`${PATH}?${query()}`)).toThrow(forbidden)
  })

  it.for([
    ['an unknown member', { ...policy, max: 5 }],
    ['no expiry', { h: DIGEST }],
    ['widths the wrong way round', { ...policy, w: [800, 100] }],
    ['a format that is none', { ...policy, f: ['bmp'] }],
    ['an option that is none', { ...policy, o: ['width'] }],
    ['a hash that is none', { ...policy, h: 'abc' }],
    ['a list', [policy]],
  ] as const)('that is genuine but has %s is malformed', ([, made]) => {
    const query = mintPolicy({ policy: made as unknown as Policy, kid: 'k1', key: keyOf('k1') })
    expect(() => verify(`${PATH}?${query}`)).toThrow(expect.objectContaining({ kind: 'bad-request' }))
  })

  it.for([
    ['its hash, formats and default options', {}, DIGEST, 'webp', 'dpr=2&q=80', true],
    ['jpg for jpeg', {}, DIGEST, 'jpeg', '', true],
    ['not another image', {}, '0'.repeat(64), 'webp', '', false],
    ['not another format', {}, DIGEST, 'avif', '', false],
    ['not a negotiated format that it does not name', {}, DIGEST, 'auto', '', false],
    ['any format where it names none', { f: undefined }, DIGEST, 'auto', '', true],
    ['no crop unless named', {}, DIGEST, 'webp', 'crop=0,0,9,9', false],
    ['no fit unless named', {}, DIGEST, 'webp', 'fit=cover', false],
    ['an option that it names', { o: ['fit', 'g'] }, DIGEST, 'webp', 'fit=cover&g=north', true],
    ['none of the defaults where it names others', { o: ['fit'] }, DIGEST, 'webp', 'q=80', false],
  ] as const)('grants %s', ([, more, digest, formatAsked, query, granted]) => {
    const check = () =>
      assertGranted({ ...policy, ...more } as Policy, {
        digest: parseDigest(digest),
        formatAsked,
        query: parseQuery(query),
      })
    if (granted) expect(check).not.toThrow()
    else expect(check).toThrow(forbidden)
  })

  it('grants a range of widths, ends included', () => {
    for (const width of [100, 800]) expect(() => assertWidthGranted(policy, width)).not.toThrow()
    for (const width of [99, 801]) expect(() => assertWidthGranted(policy, width)).toThrow(forbidden)
    expect(() => assertWidthGranted({ h: DIGEST, exp: 1 }, 8192)).not.toThrow()
  })
})

describe('signing keys', () => {
  it.for([
    ['too short a secret', [{ kid: 'a', secret: '123456789012345' }]],
    ['a malformed id', [{ kid: 'a b', secret: '1234567890123456' }]],
    [
      'an id twice',
      [
        { kid: 'a', secret: '1234567890123456' },
        { kid: 'a', secret: '1234567890123457' },
      ],
    ],
  ] as const)('are refused with %s, without telling the secret', ([, given]) => {
    expect(() => createSigningKeys(given)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('12345678') }),
    )
  })
})

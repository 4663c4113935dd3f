import { expect, it } from 'vitest'
import { createPublicUrl } from '../../src/http/public-url.ts'

const forwarded = { host: 'inner:3000', 'x-forwarded-host': 'img.example.com', 'x-forwarded-proto': 'https' }

it.for([
  ['what the operator says', 'https://cdn.example', false, { host: 'a' }, 'https://cdn.example'],
  ['the address that was asked', undefined, false, { host: 'localhost:3000' }, 'http://localhost:3000'],
  ['a host with an underscore', undefined, false, { host: 'oriel_app:3000' }, 'http://oriel_app:3000'],
  ['a host with the dot of the root', undefined, false, { host: 'img.example.:80' }, 'http://img.example.:80'],
  ['two dots at the end: relative', undefined, false, { host: 'img.example..' }, ''],
  ['an IPv6 address', undefined, false, { host: '[::1]:3000' }, 'http://[::1]:3000'],
  ['a proxy we do not trust: the address', undefined, false, forwarded, 'http://inner:3000'],
  ['a proxy we trust: its word', undefined, true, forwarded, 'https://img.example.com'],
  ['a host that is none: relative', undefined, false, { host: 'a"><script>' }, ''],
  ['a host with a path: relative', undefined, false, { host: 'a/b' }, ''],
  ['no host: relative', undefined, false, {}, ''],
] as const)('URLs begin with %s', ([, configured, trustProxy, headers, expected]) => {
  const read: Readonly<Record<string, string | undefined>> = headers
  expect(createPublicUrl({ configured, trustProxy })((name) => read[name])).toBe(expected)
})

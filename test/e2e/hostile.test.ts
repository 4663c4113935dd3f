import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { childrenOf } from '../fixtures/children.ts'
import { comeBack } from './come-back.ts'
import { corpusFiles } from './corpus.ts'
import { json, type Origin, startOrigin } from './origin.ts'

/** A GIF whose header claims 65535 × 65535, a PNG cut short, text, nothing, and an SVG that wants a file and a server. */
const MADE: readonly (readonly [string, Uint8Array<ArrayBuffer>])[] = [
  ['huge.gif', bytes('GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x01\x00;')],
  ['cut.png', new Uint8Array((await sharp({ create: PLAIN() }).png().toBuffer()).subarray(0, 60))],
  ['text.jpg', bytes('this is no picture')],
  ['nul.jpg', new Uint8Array(64)],
  [
    'xxe.svg',
    bytes(
      '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/hostname">]><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>&x;</text><image href="http://127.0.0.1:1/x.png" width="9" height="9"/></svg>',
    ),
  ],
]

function PLAIN() {
  return {
    width: 300,
    height: 300,
    channels: 3 as const,
    background: '#369',
    noise: { type: 'gaussian' as const, mean: 128, sigma: 30 },
  }
}
function bytes(latin1: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(latin1, 'latin1'))
}

const hostile = [
  ...MADE,
  ...corpusFiles('hostile').map((path) => [basename(path), new Uint8Array(readFileSync(path))] as const),
]

let origin: Origin
beforeAll(async () => {
  // Without the engine of analytics, which starts by itself after ten minutes and is large.
  origin = await startOrigin({ env: { ORIEL_RENDER_DEADLINE_MS: '10000', ORIEL_ANALYTICS: 'off' } })
})
afterAll(() => origin[Symbol.asyncDispose]())

/** A renderer that was given next to no processor until its deadline is told by 503, and says nothing of the file. */
const judged = (ask: () => Promise<Response>) => comeBack(ask, 503)

/** Resident memory of the server and its children, in MB. */
const treeMb = (): number => {
  const kb = [origin.pid, ...childrenOf(origin.pid)].map((pid) => {
    try {
      return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
    } catch {
      return 0
    }
  })
  return kb.reduce((sum, value) => sum + value, 0) / 1024
}

it(`answers each of ${hostile.length} hostile files with a 4xx or a correct image, and lives on`, async () => {
  const photo = new Uint8Array(await readFile(new URL('../fixtures/photo.jpg', import.meta.url)))
  const { hash: known } = await origin.upload(photo)
  const show = async (width: number) => (await fetch(`${origin.url}/i/${known}/${width}x.webp`)).status
  // At once, so that every renderer has been started before it is measured.
  expect(await Promise.all([320, 480, 640, 800].map(show))).toEqual([200, 200, 200, 200])
  const before = treeMb()
  const wrong: string[] = []
  for (const [name, body] of hostile) {
    const headers = { 'Content-Type': 'application/octet-stream' }
    const response = await judged(() => origin.api('/assets/upload', { method: 'POST', headers, body }))
    if (response.status !== 201) {
      if (response.status < 400 || response.status >= 500) wrong.push(`${name}: upload answered ${response.status}`)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
      await response.arrayBuffer()
      continue
    }
    const { hash } = await json<{ hash: string }>(response)
    for (const path of ['128x.webp', '64x64.png?fit=cover', '96x.auto']) {
      const image = await judged(() => fetch(`${origin.url}/i/${hash}/${path}`))
      const received = new Uint8Array(await image.arrayBuffer())
      if (image.status === 200) {
        const { width } = await sharp(received).metadata()
        if (!width || width > 128) wrong.push(`${name} ${path}: ${width} pixels wide`)
      } else if (image.status < 400 || image.status >= 500) wrong.push(`${name} ${path}: ${image.status}`)
    }
  }
  expect(wrong).toEqual([])
  expect(await show(960)).toBe(200)
  expect(treeMb()).toBeLessThan(before + 300)
}, 600_000)

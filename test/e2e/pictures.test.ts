import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { corpusFile, corpusFiles, hasCorpus } from './corpus.ts'
import { json, type Origin, startOrigin } from './origin.ts'

let origin: Origin
beforeAll(async () => {
  origin = await startOrigin()
})
afterAll(() => origin[Symbol.asyncDispose]())

const uploadFile = (path: string) =>
  origin.api('/assets/upload', {
    method: 'POST',
    headers: { 'Content-Type': 'application/octet-stream' },
    body: new Uint8Array(readFileSync(path)),
  })

/** By content: what stock sharp cannot decode, and we therefore must not store. */
const UNDECODABLE = /\.(heic|jxl|ico|bmp|jp2|j2k|psd)$|colors-animated-8bpc\.avif$/

describe.skipIf(!hasCorpus)('real pictures of the corpus', () => {
  it('are stored and served in every format, or refused with a reason', async () => {
    const wrong: string[] = []
    const files = ['valid', 'graphics', 'animated'].flatMap(corpusFiles)
    for (const path of files) {
      const name = basename(path)
      const response = await uploadFile(path)
      if (UNDECODABLE.test(name)) {
        if (response.status !== 415) wrong.push(`${name}: ${response.status} instead of 415`)
        const { detail } = await json<{ detail: string }>(response)
        if (detail.length < 20) wrong.push(`${name}: no reason in "${detail}"`)
        continue
      }
      if (response.status !== 201) {
        wrong.push(`${name}: upload answered ${response.status} ${await response.text()}`)
        continue
      }
      const { hash } = await json<{ hash: string }>(response)
      for (const fmt of ['avif', 'webp', 'jpg', 'png', 'gif', 'auto']) {
        const image = await fetch(`${origin.url}/i/${hash}/160x.${fmt}`)
        const received = new Uint8Array(await image.arrayBuffer())
        if (image.status !== 200) {
          wrong.push(`${name} ${fmt}: ${image.status} ${Buffer.from(received).toString().slice(0, 200)}`)
          continue
        }
        const { exif, xmp, iptc, width } = await sharp(received).metadata()
        if (exif || xmp || iptc) wrong.push(`${name} ${fmt}: carries metadata`)
        if (width > 160) wrong.push(`${name} ${fmt}: ${width} wide`)
      }
    }
    expect(wrong).toEqual([])
  }, 900_000)

  it('never give away where they were taken', async () => {
    const { hash } = await json<{ hash: string }>(await uploadFile(corpusFile('valid/exiftool-GPS.jpg')))
    for (const path of ['x.jpg', 'x.auto', 'x.webp', '80x.jpg', 'info.json']) {
      const text = Buffer.from(await (await fetch(`${origin.url}/i/${hash}/${path}`)).arrayBuffer()).toString('latin1')
      expect(text).not.toContain('Exif')
      expect(text).not.toMatch(/gps|latitude/i)
    }
  })
})

interface Device {
  readonly id: string
  readonly name: string
  readonly version: string | null
  readonly ua: string
  readonly accept: string | null
  readonly hints: Readonly<Record<string, string>>
  readonly supports: Readonly<Record<'webp' | 'avif', boolean | null>>
  readonly conflict?: boolean
}

describe.skipIf(!hasCorpus)('real devices', () => {
  it('get a format they can show, and the best ones get AVIF or WebP', async () => {
    const photo = new Uint8Array(readFileSync(new URL('../fixtures/photo.jpg', import.meta.url)))
    const { hash } = await origin.upload(photo)
    const { entries } = JSON.parse(readFileSync(corpusFile('devices.json'), 'utf8')) as { entries: Device[] }
    const wrong: string[] = []
    for (const device of entries.filter((entry) => !entry.conflict)) {
      for (const path of ['320x.auto', 'autox.auto']) {
        const headers = { 'User-Agent': device.ua, ...device.hints, ...(device.accept && { Accept: device.accept }) }
        const response = await fetch(`${origin.url}/i/${hash}/${path}`, { headers })
        await response.arrayBuffer()
        const format = response.headers.get('content-type')?.replace('image/', '') ?? ''
        const { webp, avif } = device.supports
        const shows = format === 'jpeg' || (format === 'webp' && webp === true) || (format === 'avif' && avif === true)
        if (!shows) wrong.push(`${device.id} ${device.name} ${device.version} cannot show ${format}`)
        if ((webp || avif) && format === 'jpeg') wrong.push(`${device.id} ${device.name} got JPEG`)
      }
    }
    expect(wrong).toEqual([])
  })
})

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { AppError } from '../../src/core/errors.ts'
import { parseDigest } from '../../src/core/ids.ts'
import { countReferences } from '../../src/metadata/originals.ts'
import {
  asAdmin,
  picture,
  type Step,
  temporaryWritePath,
  testProber,
  upload,
  type WritePath,
} from '../fixtures/write-path.ts'

const sha256 = (bytes: Uint8Array, encoding: 'hex' | 'base64' = 'hex') =>
  createHash('sha256').update(bytes).digest(encoding)

const storedFiles = async (folder: string): Promise<string[]> =>
  (await readdir(join(folder, 'originals'), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

const expectNothingLeft = async ({ folder, metadata }: Pick<WritePath, 'folder' | 'metadata'>) => {
  expect(await storedFiles(folder)).toEqual([])
  expect(await readdir(join(folder, 'staging'))).toEqual([])
  expect(await metadata.read.selectFrom('assets').select('id').execute()).toEqual([])
  expect(await metadata.read.selectFrom('originals').select('digest').execute()).toEqual([])
}

describe('a raw upload', () => {
  it('stores the bytes under their hash and answers the asset with ready URLs', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(1, 400, 300)
    const { status, asset } = await upload(
      path.app,
      body,
      { 'X-Filename': 'caf%C3%A9.jpg' },
      '?tags=a,b&location=52.5,13.4',
    )
    expect(status).toBe(201)
    expect(asset).toMatchObject({
      hash: sha256(body),
      owner: 'admin',
      filename: 'café.jpg',
      tags: ['a', 'b'],
      location: { latitude: 52.5, longitude: 13.4 },
      width: 400,
      height: 300,
      format: 'jpeg',
      bytes: body.length,
      visibility: 'public',
      deduplicated: false,
    })
    expect(asset.srcset).toBe(
      `/i/${asset.hash}/160x.auto 160w, /i/${asset.hash}/320x.auto 320w, /i/${asset.hash}/640x.auto 400w`,
    )
    const [file = ''] = await storedFiles(path.folder)
    expect(sha256(await readFile(file))).toBe(asset.hash)
    expect(await readdir(join(path.folder, 'staging'))).toEqual([])
  })

  it('keeps a private asset out of plain URLs, by its own word or by default', async () => {
    await using path = await temporaryWritePath({ visibility: 'private' })
    const { asset } = await upload(path.app, await picture(1))
    expect(asset.visibility).toBe('private')
    expect(asset.urls).toMatchObject({ original: `/i/${asset.hash}/original?sig=x` })
  })

  it('stores one file for equal uploads that race, and an asset for each', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(7)
    const answers = await Promise.all(Array.from({ length: 24 }, () => upload(path.app, body)))
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 24 }, () => 201))
    expect(new Set(answers.map(({ asset }) => asset.id)).size).toBe(24)
    expect(answers.filter(({ asset }) => !asset.deduplicated)).toHaveLength(1)
    expect(await storedFiles(path.folder)).toHaveLength(1)
    expect(await countReferences(path.metadata.read, parseDigest(sha256(body)))).toBe(24)
  })

  it('gives many distinct uploads fewer transactions than there are', async () => {
    // Nobody's rows are written before everybody's bytes are: else they might come one by one.
    let published = 0
    const gate = Promise.withResolvers<void>()
    const onStep = (step: Step) => {
      if (step !== 'published') return undefined
      published += 1
      if (published === 40) gate.resolve()
      return gate.promise
    }
    await using path = await temporaryWritePath({ onStep })
    const bodies = await Promise.all(Array.from({ length: 40 }, (_, seed) => picture(seed)))
    const answers = await Promise.all(bodies.map((body) => upload(path.app, body)))
    expect(new Set(answers.map(({ asset }) => asset.hash)).size).toBe(40)
    expect(path.ingest.stats.commits.items).toBe(40)
    expect(path.ingest.stats.commits.batches).toBeLessThan(40)
  })

  it('writes the bytes again where the disk has lost those of a known hash', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(3)
    const { asset } = await upload(path.app, body)
    await path.originals.remove(parseDigest(asset.hash))
    const again = await upload(path.app, body)
    expect(again.asset.deduplicated).toBe(true)
    expect(await path.originals.size(parseDigest(asset.hash))).toBe(body.length)
  })

  it.for([
    ['plain', 'holiday.jpg', 'holiday.jpg'],
    ['a path', '../../etc/passwd', 'passwd'],
    ['a Windows path', 'C:\\fakepath\\photo.jpg', 'photo.jpg'],
    ['only dots', '..', null],
    ['control characters', 'a%00b%0d%0ac.jpg', 'abc.jpg'],
    ['a disguised direction', '%E2%80%AEgpj.exe', 'gpj.exe'],
    ['emoji', '%F0%9F%8C%88.jpg', '🌈.jpg'],
    ['a broken escape', '100%.jpg', '100%.jpg'],
  ] as const)('takes %s as a filename no further than its last part', async ([, sent, kept]) => {
    await using path = await temporaryWritePath()
    const { status, asset } = await upload(path.app, await picture(1), { 'X-Filename': sent })
    expect(status).toBe(201)
    expect(asset.filename).toBe(kept)
  })

  it.for([
    ['attachment; filename="a b.jpg"', 'a b.jpg'],
    ['attachment; filename=plain.jpg', 'plain.jpg'],
    ["attachment; filename=x.jpg; filename*=UTF-8''na%C3%AFve.jpg", 'naïve.jpg'],
  ] as const)('reads the filename of Content-Disposition %s', async ([header, kept]) => {
    await using path = await temporaryWritePath()
    const { asset } = await upload(path.app, await picture(1), { 'Content-Disposition': header })
    expect(asset.filename).toBe(kept)
  })
})

describe('an upload that is refused leaves nothing', () => {
  it.for([
    ['no bytes', new Uint8Array(), {}, '', 400],
    ['no picture', Buffer.from('hello, world'), {}, '', 415],
    ['a form encoding', Buffer.from('x'), { 'Content-Type': 'application/x-www-form-urlencoded' }, '', 415],
    ['a content coding', Buffer.from('x'), { 'Content-Encoding': 'gzip' }, '', 415],
    ['a declared length over the bound', Buffer.from('x'), { 'Content-Length': '999999999' }, '', 413],
    ['an unknown detail', 'picture', {}, '?colour=red', 400],
    ['a wrong visibility', 'picture', {}, '?visibility=secret', 400],
    ['a place off the globe', 'picture', {}, '?location=91,0', 400],
    ['a tag with a quote', 'picture', {}, '?tags=a%22b', 400],
    ['a malformed digest', 'picture', { 'Content-Digest': 'sha-256=abc' }, '', 400],
    ['a digest of another length', 'picture', { 'Repr-Digest': 'sha-256=:YWJj:' }, '', 400],
    ['another sha-256', 'picture', { 'Content-Digest': `sha-256=:${sha256(Buffer.from('x'), 'base64')}:` }, '', 400],
    ['a bad idempotency key', 'picture', { 'Idempotency-Key': 'a b' }, '', 400],
    ['no credentials', 'picture', { Authorization: '' }, '', 401],
  ] as const)('%s', async ([, body, headers, query, status]) => {
    await using path = await temporaryWritePath({ maxUploadBytes: 1_000_000 })
    const bytes = body === 'picture' ? await picture(1) : new Uint8Array(body)
    const answer = await upload(path.app, bytes, headers, query)
    expect(answer.status).toBe(status)
    expect(answer.detail).toBeTruthy()
    await expectNothingLeft(path)
  })

  it('more bytes than the bound, found only while reading', async () => {
    await using path = await temporaryWritePath({ maxUploadBytes: 10_000 })
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(4096)),
    })
    const response = await path.app.request('/assets/upload', {
      method: 'POST',
      headers: { ...asAdmin, 'Content-Type': 'image/jpeg' },
      body,
      duplex: 'half',
    } as RequestInit)
    expect(response.status).toBe(413)
    await expectNothingLeft(path)
  })

  it('pixels over the policy', async () => {
    await using path = await temporaryWritePath({
      prober: {
        probe: async (file, signal) => {
          const probed = await testProber.probe(file, signal)
          return { ...probed, facts: { ...probed.facts, width: 40_000 } }
        },
      },
    })
    expect((await upload(path.app, await picture(1))).status).toBe(413)
    await expectNothingLeft(path)
  })

  it('what the prober is too busy to look at', async () => {
    const probe = () => Promise.reject(new AppError('busy', 'the queue is full'))
    await using path = await temporaryWritePath({ prober: { probe } })
    expect((await upload(path.app, await picture(1))).status).toBe(503)
    await expectNothingLeft(path)
  })

  it('the one upload too many at once', async () => {
    const gate = Promise.withResolvers<void>()
    const onStep = (step: Step) => (step === 'staged' ? gate.promise : undefined)
    await using path = await temporaryWritePath({ maxUploads: 2, onStep })
    const bodies = await Promise.all([1, 2, 3].map((seed) => picture(seed)))
    const [first, second, third = Buffer.alloc(0)] = bodies
    const held = [first, second].map((body = third) => upload(path.app, body))
    await expect.poll(() => path.ingest.stats.admission.running).toBe(2)
    expect((await upload(path.app, third)).status).toBe(503)
    gate.resolve()
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([201, 201])
  })
})

describe('digest fields', () => {
  it.for([
    ['sha-256', (b: Uint8Array) => `sha-256=:${sha256(b, 'base64')}:`],
    ['sha-512', (b: Uint8Array) => `sha-512=:${createHash('sha512').update(b).digest('base64')}:`],
    ['both', (b: Uint8Array) => `md5=:AAAA:, sha-256=:${sha256(b, 'base64')}:;p=1`],
    ['only an algorithm that we ignore', () => 'crc32c=:AAAAAA==:'],
  ] as const)('accepts a right %s', async ([, field]) => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    expect((await upload(path.app, body, { 'Content-Digest': field(body), 'Repr-Digest': field(body) })).status).toBe(
      201,
    )
  })
})

describe('an idempotency key', () => {
  it('answers a retry with the same asset, and refuses another upload', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    const key = { 'Idempotency-Key': 'k-1' }
    const first = await upload(path.app, body, key, '?title=one')
    const retry = await upload(path.app, body, key, '?title=one')
    expect([first.status, retry.status]).toEqual([201, 200])
    expect(retry.asset).toEqual(first.asset)
    expect((await upload(path.app, body, key, '?title=two')).status).toBe(422)
    expect((await upload(path.app, await picture(2), key, '?title=one')).status).toBe(422)
    expect((await upload(path.app, body, { 'Idempotency-Key': 'k-2' }, '?title=one')).status).toBe(201)
  })

  it('lets one of several at once do the work', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => upload(path.app, body, { 'Idempotency-Key': 'same' })),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 200, 200, 201])
    expect(new Set(answers.map(({ asset }) => asset.id)).size).toBe(1)
  })

  it('answers 410 once its asset has been deleted', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    const { asset } = await upload(path.app, body, { 'Idempotency-Key': 'k' })
    await path.app.request(`/assets/${asset.id}`, { method: 'DELETE', headers: asAdmin })
    expect((await upload(path.app, body, { 'Idempotency-Key': 'k' })).status).toBe(410)
  })

  it('makes a new asset after its day has passed', async () => {
    await using path = await temporaryWritePath()
    const body = await picture(1)
    const first = await upload(path.app, body, { 'Idempotency-Key': 'k' })
    await path.metadata.transaction((t) => t.updateTable('idempotency').set({ created_at: 1 }).execute())
    const second = await upload(path.app, body, { 'Idempotency-Key': 'k' })
    expect(second.status).toBe(201)
    expect(second.asset.id).not.toBe(first.asset.id)
    expect((await upload(path.app, body, { 'Idempotency-Key': 'k' })).asset.id).toBe(second.asset.id)
  })
})

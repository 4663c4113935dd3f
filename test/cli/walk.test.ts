import { execFileSync } from 'node:child_process'
import { createHash, createHmac } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fingerprint, possessionProof } from '../../src/cli/fingerprint.ts'
import { createPlaces, eachOf } from '../../src/cli/places.ts'
import { createSessionFiles, stateFolder } from '../../src/cli/session-file.ts'
import { type Found, type WalkOptions, walk } from '../../src/cli/walk.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oriel-walk-'))
  await mkdir(join(folder, 'sub', '.git'), { recursive: true })
  await mkdir(join(folder, 'photos.d'))
  for (const name of ['b.jpg', 'a.JPG', '.hidden.jpg', 'ä 写真.png', 'sub/c.txt', 'sub/.git/d.jpg', 'photos.d/e.jpg'])
    await writeFile(join(folder, name), name)
  await symlink(folder, join(folder, 'sub', 'loop'))
  await symlink(join(folder, 'b.jpg'), join(folder, 'link.jpg'))
  execFileSync('mkfifo', [join(folder, 'pipe.jpg')])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const PLAIN: WalkOptions = { recursive: true, hidden: false, include: [], exclude: [] }
const collect = async (paths: readonly string[], options: WalkOptions): Promise<readonly Found[]> => {
  const all: Found[] = []
  for await (const found of walk(paths, options)) all.push(found)
  return all
}
const names = async (paths: readonly string[], options = PLAIN) =>
  (await collect(paths, options)).map((found) =>
    found.kind === 'file' ? relative(folder, found.path) : `${relative(folder, found.path)}: ${found.why}`,
  )

describe('a walk', () => {
  it('finds regular files in order, without hidden ones, links, pipes and loops', async () => {
    expect(await names([folder])).toEqual(['a.JPG', 'b.jpg', 'photos.d/e.jpg', 'sub/c.txt', 'ä 写真.png'])
  })

  it('takes hidden ones when asked, and what is given by name', async () => {
    expect(await names([folder], { ...PLAIN, hidden: true })).toEqual(
      expect.arrayContaining(['.hidden.jpg', 'sub/.git/d.jpg']),
    )
    expect(await names([join(folder, '.hidden.jpg'), join(folder, 'link.jpg')])).toEqual(['.hidden.jpg', 'link.jpg'])
  })

  it('includes and excludes by name and by path', async () => {
    expect(await names([folder], { ...PLAIN, include: ['*.jpg'] })).toEqual(['b.jpg', 'photos.d/e.jpg'])
    expect(await names([folder], { ...PLAIN, exclude: ['sub', '*.png', '**/photos.d/*'] })).toEqual(['a.JPG', 'b.jpg'])
  })

  it('tells what was given and cannot be had', async () => {
    expect(await names([join(folder, 'none'), join(folder, 'pipe.jpg'), join(folder, 'b.jpg')])).toEqual([
      'none: no such file',
      'pipe.jpg: neither a file nor a folder',
      'b.jpg',
    ])
  })

  it('names a file and a folder whose name cannot be read, found or given', async () => {
    const odd = await mkdtemp(join(tmpdir(), 'oriel-odd-'))
    const named = (...bytes: number[]) => Buffer.concat([Buffer.from(`${odd}/`), Buffer.from(bytes)])
    await writeFile(named(0xff, 0x61), 'x')
    await mkdir(named(0xfe, 0x62))
    const why = 'its name is not UTF-8: rename it'
    // As such an argument comes to us.
    const given = `${odd}/\ufffda`
    expect((await collect([odd, given], PLAIN)).map((found) => found.kind === 'fault' && found.why)).toEqual([
      why,
      why,
      why,
    ])
    await rm(odd, { recursive: true })
  })
})

describe('fingerprints', () => {
  const signal = new AbortController().signal
  it('are SHA-256 and length, and proofs are HMACs', async () => {
    const path = join(folder, 'b.jpg')
    expect(await fingerprint(path, signal)).toEqual({
      sha256: createHash('sha256').update('b.jpg').digest('hex'),
      bytes: 5,
    })
    const hmac = (text: string) => createHmac('sha256', 'nonce').update(text).digest('hex')
    expect(await possessionProof(path, 'nonce', undefined, signal)).toBe(hmac('b.jpg'))
    const parts = [
      { offset: 3, bytes: 2 },
      { offset: 0, bytes: 1 },
    ]
    expect(await possessionProof(path, 'nonce', parts, signal)).toBe(hmac('pgb'))
  })

  it('name what cannot be read', async () => {
    await expect(fingerprint(join(folder, 'none'), signal)).rejects.toThrow('no such file')
    await expect(fingerprint(folder, signal)).rejects.toThrow('a folder')
  })
})

describe('places', () => {
  it('bound what is under way, and stop at the first fault', async () => {
    async function* numbers() {
      for (let n = 0; n < 100; n += 1) yield n
    }
    let running = 0
    let most = 0
    let done = 0
    const withPlace = createPlaces(3)
    const work = () =>
      withPlace(async () => {
        running += 1
        most = Math.max(most, running)
        await new Promise((resolve) => setImmediate(resolve))
        running -= 1
        done += 1
      })
    await eachOf(numbers(), 8, work)
    expect([most, done, running]).toEqual([3, 100, 0])
    let begun = 0
    const failing = eachOf(numbers(), 4, async () => {
      begun += 1
      throw new Error('no more')
    })
    await expect(failing).rejects.toThrow('no more')
    expect(begun).toBeLessThanOrEqual(4)
  })
})

describe('session files', () => {
  const unheard = () => undefined

  it('that cannot be written are told of once, and end nothing', async () => {
    const told: string[] = []
    // A file where the folder should be.
    const files = createSessionFiles(join(folder, 'b.jpg', 'state'), 'http://a', (why) => told.push(why))
    const print = { sha256: 'ab'.repeat(32), bytes: 5 }
    const details = { filename: 'a.jpg', tags: [], visibility: undefined }
    for (const session of ['u_1', 'u_2']) await files.keep(print, details, session)
    expect(await files.find(print, details)).toBeUndefined()
    await files.forget(print, details)
    expect(told.length).toBe(1)
  })

  it('are found again by server, bytes and details, and a broken one is none', async () => {
    const state = stateFolder({ XDG_STATE_HOME: join(folder, 'state') })
    const print = { sha256: 'ab'.repeat(32), bytes: 5 }
    const details = { filename: 'a.jpg', tags: ['x'], visibility: undefined }
    const files = createSessionFiles(state, 'http://a', unheard)
    expect(await files.find(print, details)).toBeUndefined()
    await files.keep(print, details, 'u_1')
    expect(await createSessionFiles(state, 'http://a', unheard).find(print, details)).toBe('u_1')
    expect(await createSessionFiles(state, 'http://b', unheard).find(print, details)).toBeUndefined()
    expect(await files.find(print, { ...details, tags: [] })).toBeUndefined()
    const [name = ''] = await readdir(state)
    await writeFile(join(state, name), '{"server":')
    expect(await files.find(print, details)).toBeUndefined()
    await files.forget(print, details)
    expect(await readdir(state)).toEqual([])
  })
})

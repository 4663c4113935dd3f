import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startFaultyProxy } from '../engines/faulty-proxy.ts'
import { freePort } from '../engines/port.ts'
import { begin, ORIEL, parseLines, run } from './command.ts'
import { ADMIN_KEY, json, type Origin, startOrigin } from './origin.ts'

const photo = await readFile(new URL('../fixtures/photo.jpg', import.meta.url))
/** A picture like no other: what comes after its end is of no meaning to decoders. */
const picture = (extraBytes = 16) => Buffer.concat([photo, randomBytes(extraBytes)])

let origin: Origin
let folder = ''
let env: Readonly<Record<string, string>> = {}
const envFor = (url: string) => ({
  ORIEL_SERVER: url,
  ORIEL_KEY: ADMIN_KEY,
  XDG_STATE_HOME: join(folder, 'state'),
})

beforeAll(async () => {
  origin = await startOrigin()
  folder = await mkdtemp(join(tmpdir(), 'oriel-cli-'))
  // Another user's process looks into it too.
  await chmod(folder, 0o755)
  env = envFor(origin.url)
})
afterAll(async () => {
  await origin?.[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const makePhotos = async (name: string, count: number): Promise<string> => {
  const made = join(folder, name)
  await mkdir(made)
  for (let n = 0; n < count; n += 1) await writeFile(join(made, `${String(n).padStart(3, '0')}.jpg`), picture())
  return made
}

/** Hashes of every live asset, one for each. */
const hashesOn = async (server: Origin): Promise<readonly string[]> => {
  const hashes: string[] = []
  let cursor: string | null = null
  do {
    const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const page: { items: { hash: string }[]; next_cursor: string | null } = await json(
      await server.api(`/assets?limit=100${query}`),
    )
    hashes.push(...page.items.map(({ hash }) => hash))
    cursor = page.next_cursor
  } while (cursor)
  return hashes
}

const statuses = (out: string) =>
  Object.fromEntries(
    parseLines(out)
      .filter(({ type }) => type === 'file')
      .map(({ path, status }) => [String(path).split('/').at(-1), status]),
  )
const summaryOf = (out: string) => parseLines(out).at(-1)

describe('oriel upload', () => {
  it('uploads a folder as it is, tells each file, and skips all the second time', async () => {
    const mixed = join(folder, 'mixed')
    await mkdir(join(mixed, 'sub'), { recursive: true })
    const twin = picture()
    await writeFile(join(mixed, 'ä 写真 🌅.jpg'), picture())
    await writeFile(join(mixed, 'one.jpg'), twin)
    await writeFile(join(mixed, 'sub', 'two.jpg'), twin)
    await writeFile(join(mixed, 'notes.txt'), 'no picture')
    await writeFile(join(mixed, 'empty.png'), '')
    await writeFile(join(mixed, 'locked.jpg'), picture(), { mode: 0o000 })
    // Root may read everything.
    const uid = process.getuid?.() === 0 ? 65_534 : undefined
    const as = { env: { ...env, XDG_STATE_HOME: join(folder, 'nobody') }, ...(uid !== undefined && { uid }) }

    const first = await run(['upload', mixed, '--recursive', '--json', '--tag', 'a', '--tag', 'b c'], as)
    expect(first.err).toContain('locked.jpg: permission denied')
    expect(statuses(first.out)).toEqual({
      'ä 写真 🌅.jpg': 'uploaded',
      'one.jpg': expect.stringMatching(/^(?:uploaded|duplicate)$/),
      'two.jpg': expect.stringMatching(/^(?:uploaded|duplicate)$/),
      'notes.txt': 'failed',
      'empty.png': 'failed',
      'locked.jpg': 'failed',
    })
    expect(summaryOf(first.out)).toMatchObject({ uploaded: 2, duplicate: 1, failed: 3, files: 6, complete: true })
    expect(first.code).toBe(1)
    const named = parseLines(first.out).find(({ path }) => String(path).includes('写真'))
    const asset = await json<{ filename: string; tags: string[] }>(await origin.api(`/assets/${String(named?.id)}`))
    expect(asset).toMatchObject({ filename: 'ä 写真 🌅.jpg', tags: ['a', 'b c'] })

    await rm(join(mixed, 'notes.txt'))
    await rm(join(mixed, 'empty.png'))
    await rm(join(mixed, 'locked.jpg'), { force: true })
    const second = await run(['upload', mixed, '-r', '--json'], { env })
    expect(summaryOf(second.out)).toMatchObject({ uploaded: 0, skipped: 2, duplicate: 1, failed: 0, bytes_sent: 0 })
    expect(second.code).toBe(0)

    const plain = await run(['upload', mixed, '-r'], { env })
    expect(plain.out).toBe('0 uploaded (0 B sent), 2 there already, 1 with the same bytes as another, 0 failed\n')
    expect(plain.err).not.toContain('\r')
    expect((await run(['verify', mixed, '-r'], { env })).code).toBe(0)
  })

  it('proves that it has what another owner has uploaded, instead of sending it', async () => {
    const shared = join(folder, 'shared.jpg')
    await writeFile(shared, picture())
    expect((await run(['upload', shared], { env })).code).toBe(0)
    const made = await run(['keys', 'create', '--owner', 'bob', '--name', 'laptop'], { env })
    const bob = { env: { ...env, ORIEL_KEY: made.out.trim() } }
    expect((await run(['verify', shared, '--json'], bob)).out).toContain('"status":"foreign"')
    expect((await run(['upload', shared, '-n', '--json'], bob)).out).toContain('"status":"planned"')
    const claimed = await run(['upload', shared, '--json', '--visibility', 'private'], bob)
    expect(parseLines(claimed.out)[0]).toMatchObject({ status: 'uploaded', sent: false })
    expect(summaryOf(claimed.out)).toMatchObject({ bytes_sent: 0 })
    expect((await run(['verify', shared], bob)).code).toBe(0)
  })

  it('uploads again what was deleted since', async () => {
    const again = join(folder, 'again.jpg')
    await writeFile(again, picture())
    const [first] = parseLines((await run(['upload', again, '--json'], { env })).out)
    await origin.api(`/assets/${String(first?.id)}`, { method: 'DELETE' })
    const [second] = parseLines((await run(['upload', again, '--json'], { env })).out)
    expect(second).toMatchObject({ status: 'uploaded' })
    expect(second?.id).not.toBe(first?.id)
  })

  it('sends a large file in chunks, and goes on after kill -9', async () => {
    const large = join(folder, 'large.jpg')
    await writeFile(large, picture(80 * 1024 * 1024))
    await using proxy = await startFaultyProxy(Number(new URL(origin.url).port), 'http')
    const state = { ...envFor(proxy.url), XDG_STATE_HOME: join(folder, 'killed') }
    const chunks = () => proxy.seen.filter(({ method }) => method === 'PUT').length
    // The third and all that follow are not answered: it is in the middle for certain.
    proxy.set({ hang: true, only: ({ method }) => method === 'PUT' && chunks() > 2 })
    const first = begin(['upload', large, '-j', '1', '--json'], { env: state })
    await expect.poll(chunks).toBe(3)
    first.child.kill('SIGKILL')
    await first.ended
    const uploads = join(folder, 'killed/oriel/uploads')
    expect(await readdir(uploads)).toHaveLength(1)
    proxy.set({})
    const second = await run(['upload', large, '--json'], { env: state })
    expect(summaryOf(second.out)).toMatchObject({ uploaded: 1 })
    // Eleven of 8 MiB, of which two were there.
    expect(chunks()).toBe(3 + 9)
    expect(await readdir(uploads)).toEqual([])
  })
})

describe('interruptions', () => {
  it('outlives a server that is killed and started again, and doubles nothing', async () => {
    const photos = await makePhotos('restart', 60)
    const port = String(await freePort())
    await using first = await startOrigin({ env: { PORT: port } })
    const running = begin(['upload', photos, '-r', '--json', '-j', '2'], { env: envFor(first.url) })
    await expect.poll(() => running.lines().length, { interval: 5 }).toBeGreaterThan(3)
    await first.stop('SIGKILL')
    await using second = await startOrigin({ data: first.data, env: { PORT: port } })
    const { code, out } = await running.ended
    expect(summaryOf(out)).toMatchObject({ uploaded: 60, failed: 0, complete: true })
    expect(code).toBe(0)
    const hashes = await hashesOn(second)
    expect([hashes.length, new Set(hashes).size]).toEqual([60, 60])
  })

  it('goes on after kill -9 of its own, and after Ctrl-C', async () => {
    const photos = await makePhotos('killed-client', 60)
    await using server = await startOrigin()
    await using proxy = await startFaultyProxy(Number(new URL(server.url).port), 'http')
    const mine = envFor(proxy.url)
    const args = ['upload', photos, '-r', '--json', '-j', '2']
    /** Uploads after the first five are not answered, so that it cannot be done before it is stopped. */
    const untilStuck = async () => {
      let begun = 0
      proxy.set({ hang: true, only: ({ path }) => path.startsWith('/assets/upload') && ++begun > 5 })
      const running = begin(args, { env: mine })
      await expect.poll(() => running.lines().filter(({ status }) => status === 'uploaded').length).toBe(5)
      await expect.poll(() => proxy.done()).toBeGreaterThan(0)
      return running
    }
    const first = await untilStuck()
    first.child.kill('SIGKILL')
    await first.ended
    const second = await untilStuck()
    second.child.kill('SIGINT')
    const stopped = await second.ended
    expect(stopped.code).toBe(130)
    expect(summaryOf(stopped.out)).toMatchObject({ complete: false, error: 'interrupted' })
    expect(stopped.err).toMatch(/interrupted\. 10 of 60 files were done; the same command goes on from there/)
    proxy.set({})
    const third = await run(args, { env: mine })
    expect(third.code).toBe(0)
    const hashes = await hashesOn(server)
    expect([hashes.length, new Set(hashes).size]).toEqual([60, 60])
  })
})

describe('on a terminal', () => {
  it('draws one line that fits, and leaves it', async () => {
    if (spawnSync('script', ['--version']).error) {
      console.log('left out: script(1) is not here (util-linux), so no terminal was tried')
      return
    }
    const photos = await makePhotos('terminal', 30)
    const command = `stty cols 60; exec ${process.execPath} ${ORIEL} upload ${photos} -r -j 2`
    const shown = spawnSync('script', ['-qec', command, '/dev/null'], {
      env: { PATH: process.env.PATH ?? '', TERM: 'xterm', NO_COLOR: '1', ...env },
      encoding: 'utf8',
    })
    expect(shown.status).toBe(0)
    const frames = shown.stdout.split('\r\u001b[K').slice(1)
    expect(frames.length).toBeGreaterThan(1)
    const bar = frames.map((frame) => frame.split('\r\n')[0] ?? '')
    expect(bar.every((line) => line.length < 60)).toBe(true)
    expect(bar.at(-1)).toMatch(/^(?:\[#+\] )?100% {2}30 of 30 files/)
    expect(shown.stdout).toContain('30 uploaded')
    expect(shown.stdout).not.toContain('\u001b[31m')
  })
})

describe('what scripts rely on', () => {
  it.for([
    [['upload'], 2, 'upload needs <path…>'],
    [['upload', '.', '--nope'], 2, "Unknown option '--nope'"],
    [['upload', '-dash.jpg'], 2, 'a path that begins with a dash goes behind --'],
    [['upload', '.', '--key', 'k'], 2, 'a key is never an argument'],
    [['upload', 'test/fixtures'], 2, 'test/fixtures is a folder: add --recursive'],
    [['upload', 'x', '-j', 'many'], 2, '--concurrency takes a whole number'],
    [['upload', 'x', '--visibility', 'secret'], 2, '--visibility takes public or private'],
    [['verify', 'x', '--server', 'ftp://x'], 2, 'the server is an address'],
    [['dance'], 2, 'no command "dance"'],
    [[], 2, 'Usage: oriel <command>'],
    [['keys', 'revoke'], 2, '`revoke` takes the id'],
    [['keys', 'revoke', 'k_none'], 1, 'no API key'],
    [['upload', 'no-such-file'], 1, 'no-such-file: no such file'],
    [['upload', 'x', '--server', 'http://127.0.0.1:1'], 3, 'cannot reach http://127.0.0.1:1'],
    [['keys', 'list', '--server', 'http://127.0.0.1:1'], 3, 'cannot reach http://127.0.0.1:1'],
    [['keys', 'list', '--key-file', 'package.json'], 2, 'the key is not one line'],
  ] as const)('oriel %o exits with %i', async ([args, code, message]) => {
    const ended = await run(args, { env })
    expect([ended.code, ended.err]).toEqual([code, expect.stringContaining(message)])
    expect(ended.out === '' || ended.code === 1).toBe(true)
  })

  it('3 for a key that is refused, and for no key', async () => {
    const refused = await run(['upload', 'x'], { env: { ...env, ORIEL_KEY: 'not-the-key' } })
    expect([refused.code, refused.err]).toEqual([3, expect.stringContaining('the server refuses the key')])
    const none = await run(['upload', 'x'], { env: { ORIEL_SERVER: origin.url, ORIEL_DATA: join(folder, 'none') } })
    expect([none.code, none.err]).toEqual([3, expect.stringContaining('no key: set ORIEL_KEY')])
  })

  it('tells the options of each command', async () => {
    for (const command of ['upload', 'verify', 'keys', 'sign', 'gc', 'reconcile']) {
      const { code, out } = await run([command, '--help'])
      expect([code, out]).toEqual([0, expect.stringContaining(`Usage: oriel ${command} `)])
    }
  })
})

describe('an administrator', () => {
  it('makes, lists and revokes keys', async () => {
    const made = await run(['keys', 'create', '--owner', 'eve', '--name', 'phone'], { env })
    expect(made.out).toMatch(/^ok_[\w-]{22}\n$/)
    const keyFile = join(folder, 'key')
    await writeFile(keyFile, made.out, { mode: 0o600 })
    const asEve = { ORIEL_SERVER: origin.url }
    expect((await run(['verify', 'package.json', '--key-file', keyFile], { env: asEve })).code).toBe(1)
    const listed = parseLines((await run(['keys', 'list', '--json'], { env })).out)
    const id = String(listed.find(({ owner }) => owner === 'eve')?.id)
    expect((await run(['keys', 'revoke', id], { env })).code).toBe(0)
    expect((await run(['verify', 'package.json', '--key-file', keyFile], { env: asEve })).code).toBe(3)
  })

  it('collects now', async () => {
    await using server = await startOrigin({ env: { ORIEL_RESTORE_SECONDS: '0' } })
    const gone = join(folder, 'gone.jpg')
    await writeFile(gone, picture())
    const mine = { env: envFor(server.url) }
    const [uploaded] = parseLines((await run(['upload', gone, '--json'], mine)).out)
    await server.api(`/assets/${String(uploaded?.id)}`, { method: 'DELETE' })
    const { code, out } = await run(['gc', '--json'], mine)
    expect([code, parseLines(out)]).toEqual([
      0,
      [{ purged: 1, set_aside: 1, originals_removed: 0, orphans_removed: 0 }],
    ])
    expect((await run(['verify', gone], mine)).code).toBe(1)
  })

  it('signs a URL that the server then serves', async () => {
    const secret = join(folder, 'secret.jpg')
    await writeFile(secret, picture())
    const [uploaded] = parseLines((await run(['upload', secret, '--json', '--visibility', 'private'], { env })).out)
    const url = `${origin.url}/i/${String(uploaded?.sha256)}/333x.webp?fit=cover&bg=%23fff`
    expect((await fetch(url)).status).toBe(404)
    const signed = await run(['sign', url, '--expires', '5m'], { env: { ORIEL_DATA: origin.data } })
    expect(signed.code).toBe(0)
    expect((await fetch(signed.out.trim())).status).toBe(200)
    const again = await run(['sign', signed.out.trim(), '--json'], { env: { ORIEL_DATA: origin.data } })
    expect((await fetch(String(parseLines(again.out)[0]?.url))).status).toBe(200)
    expect((await run(['sign', url, '--kid', 'nope'], { env: { ORIEL_DATA: origin.data } })).err).toContain(
      'no signing key',
    )
    const never = await run(['sign', url, '--expires', '99999999d'], { env: { ORIEL_DATA: origin.data } })
    expect([never.code, never.err]).toEqual([2, expect.stringContaining('--expires takes a time')])
    expect((await run(['sign', 'https://x/other.jpg'], { env: { ORIEL_DATA: origin.data } })).code).toBe(2)
  })
})

describe('the package', () => {
  it('has what the command needs, and runs below node_modules too', async () => {
    const root = new URL('../..', import.meta.url).pathname
    const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: root,
      encoding: 'utf8',
    })
    const files = (JSON.parse(packed.stdout) as { files: { path: string }[] }[])[0]?.files.map(({ path }) => path) ?? []
    expect(files).toEqual(
      expect.arrayContaining(['bin/oriel.mjs', 'src/cli/main.ts', 'src/core/errors.ts', 'config/ladder.ts']),
    )
    expect(files.filter((path) => /^(?:test|bench|data)\//.test(path))).toEqual([])
    const place = join(folder, 'app/node_modules')
    await mkdir(place, { recursive: true })
    const copy = spawnSync(
      'sh',
      [
        '-c',
        `cp -r node_modules/zod '${place}' && mkdir '${place}/oriel' && cp -r bin src config package.json '${place}/oriel'`,
      ],
      { cwd: root },
    )
    expect(copy.status).toBe(0)
    const ended = spawnSync(process.execPath, [join(place, 'oriel/bin/oriel.mjs'), 'upload', '--help'], {
      encoding: 'utf8',
    })
    expect([ended.status, ended.stderr, ended.stdout]).toEqual([0, '', expect.stringContaining('Usage: oriel upload')])
  })
})

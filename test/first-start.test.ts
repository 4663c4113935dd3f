import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readConfig } from '../config/environment.ts'
import { banner } from '../src/banner.ts'
import { openSecrets } from '../src/first-start.ts'

let folder = ''
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'oriel-first-')), 'data')
})
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }))

const show = (secrets: Awaited<ReturnType<typeof openSecrets>>) =>
  banner({ port: 3000, dataFolder: folder, secrets, samplePhoto: 'photo.jpg' })

it('makes an admin key once, readable by its owner only, and prints it once', async () => {
  const config = readConfig({ ORIEL_DATA: folder })
  const first = await openSecrets(config)
  const second = await openSecrets(config)
  expect(first.adminKeyIsNew).toBe(true)
  expect(second).toEqual({ ...first, adminKeyIsNew: false })
  expect((await stat(join(folder, 'admin-key'))).mode & 0o777).toBe(0o600)
  expect((await stat(join(folder, 'signing-keys'))).mode & 0o777).toBe(0o600)
  expect(await readFile(join(folder, 'admin-key'), 'utf8')).toBe(`${first.adminKey}\n`)
  expect(show(first)).toContain(first.adminKey)
  expect(show(second)).not.toContain(first.adminKey)
})

it('names a data folder elsewhere by its whole path, one within the current folder by its way from here', async () => {
  const secrets = await openSecrets(readConfig({ ORIEL_DATA: folder }))
  expect(show(secrets)).toContain(`data in ${folder}\n`)
  const near = banner({ port: 3000, dataFolder: join(process.cwd(), 'data'), secrets, samplePhoto: 'photo.jpg' })
  expect(near).toContain('data in data\n')
})

it('takes the admin key from the environment without writing or printing it', async () => {
  const secrets = await openSecrets(readConfig({ ORIEL_DATA: folder, ORIEL_ADMIN_KEY: 'a-key-from-outside' }))
  expect(secrets.adminKey).toBe('a-key-from-outside')
  await expect(stat(join(folder, 'admin-key'))).rejects.toThrow('ENOENT')
  expect(show(secrets)).not.toContain('a-key-from-outside')
})

it.for(['', '\n'])('makes a secret anew whose file holds only %j, as a crash may leave it', async (left) => {
  const config = readConfig({ ORIEL_DATA: folder })
  await mkdir(folder)
  for (const name of ['admin-key', 'signing-keys']) await writeFile(join(folder, name), left)
  const first = await openSecrets(config)
  expect(first.adminKeyIsNew).toBe(true)
  expect(first.adminKey).toMatch(/^ok_[\w-]{22}$/)
  expect(first.signingKeys).toHaveLength(1)
  expect(await openSecrets(config)).toEqual({ ...first, adminKeyIsNew: false })
  expect((await stat(join(folder, 'admin-key'))).mode & 0o777).toBe(0o600)
  expect((await readdir(folder)).sort()).toEqual(['admin-key', 'signing-keys'])
})

it.for([
  ['admin-key', 'short', 'under 16 characters'],
  ['signing-keys', 'k1:short', 'no line kid:secret'],
  ['signing-keys', 'no colon in this whole line', 'no line kid:secret'],
] as const)('refuses %s with %j, naming the file', async ([name, text, why]) => {
  await mkdir(folder)
  await writeFile(join(folder, name), text)
  const opening = openSecrets(readConfig({ ORIEL_DATA: folder }))
  await expect(opening).rejects.toThrow(why)
  await expect(opening).rejects.toThrow(join(folder, name))
  expect(await readFile(join(folder, name), 'utf8')).toBe(text)
})

it('gives one secret to all who start at once', async () => {
  const config = readConfig({ ORIEL_DATA: folder })
  const all = await Promise.all(Array.from({ length: 8 }, () => openSecrets(config)))
  expect(new Set(all.map(({ adminKey }) => adminKey)).size).toBe(1)
  expect(new Set(all.map(({ signingKeys }) => signingKeys[0].secret)).size).toBe(1)
  expect(all.filter(({ adminKeyIsNew }) => adminKeyIsNew)).toHaveLength(1)
})

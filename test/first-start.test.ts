import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
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

it('takes the admin key from the environment without writing or printing it', async () => {
  const secrets = await openSecrets(readConfig({ ORIEL_DATA: folder, ORIEL_ADMIN_KEY: 'a-key-from-outside' }))
  expect(secrets.adminKey).toBe('a-key-from-outside')
  await expect(stat(join(folder, 'admin-key'))).rejects.toThrow('ENOENT')
  expect(show(secrets)).not.toContain('a-key-from-outside')
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { lockFolder } from '../../src/metadata/folder-lock.ts'

it('lets one holder in at a time, and the next when it is gone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'oriel-lock-'))
  const first = lockFolder(folder)
  expect(() => lockFolder(folder)).toThrow(`another Oriel is running on ${folder}`)
  first[Symbol.dispose]()
  lockFolder(folder)[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

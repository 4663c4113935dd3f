import { expect, it } from 'vitest'
import { isAssetId, newAssetId } from '../../src/core/ids.ts'

it('gives asset ids that begin with their time and are otherwise random', () => {
  const from = Date.now()
  const ids = Array.from({ length: 1000 }, newAssetId)
  const to = Date.now()
  expect(ids.every(isAssetId)).toBe(true)
  expect(new Set(ids.map((id) => id.slice(-14))).size).toBe(1000)
  const times = ids.map((id) => Buffer.from(id.slice(2), 'base64url').readUIntBE(0, 6))
  expect(times.every((time) => time >= from && time <= to)).toBe(true)
})

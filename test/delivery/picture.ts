/** Values that the delivery tests share: one original, and variants of it. */
import { createHash } from 'node:crypto'
import type { DeliverySubject } from '../../src/core/asset.ts'
import { parseDigest, parseOwnerId, variantKey } from '../../src/core/ids.ts'
import type { Variant } from '../../src/core/variant.ts'

export const digest = parseDigest('ab'.repeat(32))
export const key = variantKey(digest, 'r1-test')

export const subjectOf = (access: DeliverySubject['access'], wasPublic = false): DeliverySubject => ({
  digest,
  access,
  wasPublic,
  ownerId: parseOwnerId('owner'),
  bytes: 1000,
  facts: {
    format: 'jpeg',
    width: 100,
    height: 50,
    orientation: 1,
    pages: 1,
    animated: false,
    hasAlpha: false,
    colourSpace: 'srgb',
    hasProfile: false,
  },
  fault: null,
})

export const variantOf = (text: string): Variant => {
  const bytes = new TextEncoder().encode(text)
  const sha256 = createHash('sha256').update(bytes).digest('base64')
  return { bytes, facts: { format: 'webp', width: 10, height: 5, pages: 1, sha256, generation: 0 } }
}

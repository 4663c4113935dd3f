/** Tells an application that something about a picture has changed: not what, but how things are when it is told, so late and repeated messages do no harm. */
import type { Digest } from '../core/ids.ts'
import { findCondition } from '../metadata/condition.ts'
import type { Metadata } from '../metadata/database.ts'
import { listReferences } from '../metadata/references.ts'
import type { Handler } from './relay.ts'
import type { Webhook } from './webhook.ts'

/** Of one hash in a message: 100 × 200 bytes. */
const MAX_ASSETS = 100

/** With 300 s between the last attempts, some five hours of them. */
export const notify = ({ metadata }: { readonly metadata: Metadata }, webhook: Webhook): Handler => ({
  concurrency: 4,
  limitMs: 15_000,
  attempts: 70,
  run: async ({ id, digest }, signal) => {
    const data = await describePicture(metadata, digest)
    const body = JSON.stringify({ type: 'picture.changed', timestamp: new Date().toISOString(), data })
    await webhook.send({ id: `msg_${id}`, body }, signal)
  },
})

const describePicture = async ({ read }: Metadata, digest: Digest) => {
  const [condition, references] = await Promise.all([
    findCondition(read, digest),
    listReferences(read, digest, MAX_ASSETS + 1),
  ])
  return {
    hash: digest,
    /** Null once the picture is gone for good. */
    scan: condition ? { state: condition.scan } : null,
    fault: condition?.fault ?? null,
    assets: references.slice(0, MAX_ASSETS).map((asset) => ({
      id: asset.id,
      owner: asset.ownerId,
      visibility: asset.visibility,
      created_at: asset.createdAt.toISOString(),
      updated_at: asset.updatedAt.toISOString(),
      deleted_at: asset.deletedAt?.toISOString() ?? null,
    })),
    has_more_assets: references.length > MAX_ASSETS,
  }
}

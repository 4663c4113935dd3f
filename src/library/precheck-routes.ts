/** `POST …/precheck`: is an upload of these bytes needed at all? One indexed look-up. */
import { createRoute, z } from '@hono/zod-openapi'
import { parseDigest } from '../core/ids.ts'
import { problems, type Router } from '../http/context.ts'
import { jsonBody } from '../http/json-body.ts'
import { findKnownContent } from '../metadata/subjects.ts'
import type { LibraryDeps } from './ports.ts'

const precheckRoute = createRoute({
  method: 'post',
  path: '/precheck',
  tags: ['assets'],
  summary: 'Are these bytes known?',
  description:
    'Knowing a hash is not owning the bytes: without an asset of your own (`owned`) the upload is still needed, only cheaper for us.',
  security: [{ bearer: [] }],
  request: {
    body: {
      required: true,
      content: {
        'application/json': {
          schema: z.strictObject({
            sha256: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in 64 lower-case hex digits'),
            size: z.int().nonnegative().openapi({ description: 'bytes' }),
          }),
        },
      },
    },
  },
  responses: {
    200: {
      description: 'what is known',
      content: {
        'application/json': {
          schema: z.object({
            exists: z.boolean(),
            owned: z.boolean(),
            asset_id: z.string().optional().openapi({ description: 'a live asset of yours with these bytes' }),
            size_matches: z.boolean().optional().openapi({ description: 'only where the hash exists' }),
          }),
        },
      },
    },
    ...problems(400, 401, 408, 413, 415, 429),
  },
})

export const mountPrecheck = (routes: Router, { metadata, guards, quota }: LibraryDeps): void => {
  routes.openapi({ ...precheckRoute, middleware: [guards.caller, jsonBody] as const }, async (c) => {
    await quota.spend(c, 'prechecks', 1)
    const { sha256, size } = c.req.valid('json')
    const known = await findKnownContent(metadata.read, parseDigest(sha256), c.get('principal').ownerId)
    if (!known) return c.json({ exists: false, owned: false }, 200)
    return c.json(
      {
        exists: true,
        owned: known.assetId !== undefined,
        ...(known.assetId && { asset_id: known.assetId }),
        size_matches: known.bytes === size,
      },
      200,
    )
  })
}

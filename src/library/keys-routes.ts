/** `/internal/keys`: an administrator makes, lists and revokes API keys. A key is shown once and kept only as its SHA-256. */
import { randomBytes } from 'node:crypto'
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../core/errors.ts'
import { parseOwnerId, quote } from '../core/ids.ts'
import { line } from '../http/asset-details.ts'
import { createRouter, problems, type Router } from '../http/context.ts'
import { jsonBody } from '../http/json-body.ts'
import { type Guards, hashKey } from '../http/principal.ts'
import { type ApiKey, insertApiKey, listApiKeys, revokeApiKey } from '../metadata/api-keys.ts'
import type { Metadata } from '../metadata/database.ts'

const KeySchema = z
  .object({
    id: z.string(),
    owner: z.string(),
    name: z.string(),
    created_at: z.string(),
    revoked_at: z.string().nullable(),
  })
  .openapi('ApiKey')

const base = { tags: ['keys'], security: [{ bearer: [] }] }

const createKeyRoute = createRoute({
  ...base,
  method: 'post',
  path: '/',
  summary: 'Make an API key',
  request: {
    body: {
      required: true,
      content: {
        'application/json': {
          schema: z.strictObject({
            owner: z
              .string()
              .regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/, '1–64 of a-z 0-9 _ . -, the first a letter or digit'),
            name: line(100).pipe(z.string().min(1)),
          }),
        },
      },
    },
  },
  responses: {
    201: {
      description: 'the key, shown this once',
      content: { 'application/json': { schema: KeySchema.extend({ key: z.string() }) } },
    },
    ...problems(400, 401, 403, 408, 413, 415),
  },
})

const listKeysRoute = createRoute({
  ...base,
  method: 'get',
  path: '/',
  summary: 'Every API key, without the keys themselves',
  responses: {
    200: {
      description: 'newest first',
      content: { 'application/json': { schema: z.object({ items: z.array(KeySchema) }) } },
    },
    ...problems(401, 403),
  },
})

const revokeKeyRoute = createRoute({
  ...base,
  method: 'delete',
  path: '/{id}',
  summary: 'Revoke an API key',
  request: { params: z.object({ id: z.string() }) },
  responses: { 204: { description: 'revoked' }, ...problems(401, 403, 404) },
})

export interface KeysDeps {
  readonly metadata: Metadata
  readonly guards: Guards
}

/** To be mounted at `/internal/keys`. */
export const createKeysRoutes = ({ metadata, guards }: KeysDeps): Router => {
  const routes = createRouter()

  routes.openapi({ ...createKeyRoute, middleware: [guards.admin, jsonBody] as const }, async (c) => {
    const { owner, name } = c.req.valid('json')
    const secret = `ok_${randomBytes(16).toString('base64url')}`
    const key: ApiKey = {
      id: `k_${randomBytes(8).toString('hex')}`,
      ownerId: parseOwnerId(owner),
      name,
      createdAt: new Date(),
      revokedAt: null,
    }
    await metadata.transaction((transaction) => insertApiKey(transaction, hashKey(secret), key))
    return c.json({ ...describeKey(key), key: secret }, 201)
  })

  routes.openapi({ ...listKeysRoute, middleware: guards.admin }, async (c) =>
    c.json({ items: (await listApiKeys(metadata.search)).map(describeKey) }, 200),
  )

  routes.openapi({ ...revokeKeyRoute, middleware: guards.admin }, async (c) => {
    const { id } = c.req.valid('param')
    if (!(await metadata.transaction((transaction) => revokeApiKey(transaction, id, new Date()))))
      throw new AppError('not-found', `no API key ${quote(id)}`)
    return c.body(null, 204)
  })
  return routes
}

const describeKey = (key: ApiKey) => ({
  id: key.id,
  owner: key.ownerId,
  name: key.name,
  created_at: key.createdAt.toISOString(),
  revoked_at: key.revokedAt?.toISOString() ?? null,
})

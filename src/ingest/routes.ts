/** `POST …/upload`: admit, receive, commit, answer. The use case is `commit.ts`; this is its HTTP. */
import { createRoute } from '@hono/zod-openapi'
import type { GroupCommitStats } from '../core/group-commit.ts'
import { AssetSchema, type DescribeAsset } from '../http/asset-document.ts'
import { createRouter, problems, type Router } from '../http/context.ts'
import { IDEMPOTENCY_KEY, parseIdempotencyKey } from '../http/idempotency-key.ts'
import type { Guards } from '../http/principal.ts'
import type { Quota } from '../http/quota.ts'
import { type Admission, type AdmissionStats, createAdmission } from './admission.ts'
import { type CommitPorts, createCommit } from './commit.ts'
import { judgeHeaders, receive } from './receive.ts'

const MIB = 1024 * 1024

export interface IngestOptions {
  /** Largest file. Default 100 MiB. */
  readonly maxUploadBytes?: number
  /** Longest wait for a client's next chunk. Default 30 s. */
  readonly idleMs?: number
  /** Uploads under way at once. Default 128. */
  readonly maxUploads?: number
  /**
   * Their bytes as declared, one of unknown length counted as the largest allowed: bounds the disk that half-received
   * files can take. Default 8 GiB: 80 uploads of unknown length.
   */
  readonly maxBytesInFlight?: number
}

export interface IngestDeps extends CommitPorts {
  readonly guards: Guards
  readonly describe: DescribeAsset
  readonly quota: Quota
}

export interface IngestStats {
  readonly admission: Readonly<AdmissionStats>
  readonly commits: Readonly<GroupCommitStats>
  readonly uploads: { created: number; deduplicated: number; replayed: number; failed: number; bytes: number }
}

const FILE_DETAILS = {
  filename: { type: 'string' as const },
  title: { type: 'string' as const },
  description: { type: 'string' as const },
  visibility: { type: 'string' as const, enum: ['public', 'private'] },
  tags: { type: 'string' as const, description: 'comma-separated, or a JSON array' },
  location: { type: 'string' as const, description: '"latitude,longitude", or a JSON object' },
  taken_at: { type: 'string' as const, format: 'date-time' },
}
const BINARY = { type: 'string' as const, format: 'binary' }

const headerParameter = (name: string, schema: object = {}) => ({
  name,
  in: 'header' as const,
  required: false,
  schema: { type: 'string' as const, ...schema },
})

const uploadRoute = createRoute({
  method: 'post',
  path: '/upload',
  tags: ['assets'],
  summary: 'Upload a picture',
  description:
    'The file as the raw body, details as query parameters of the same names and X-Filename; or a form with the field `file`. ' +
    'Content-Digest and Repr-Digest (RFC 9530) are verified if sent. With Idempotency-Key a retry answers 200 with the same asset.',
  security: [{ bearer: [] }],
  // Described here and read where they are used: a schema would gather and judge every header of every upload.
  parameters: [
    headerParameter('idempotency-key', { pattern: IDEMPOTENCY_KEY.source }),
    headerParameter('content-digest', { example: 'sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:' }),
    headerParameter('repr-digest'),
    headerParameter('x-filename'),
  ],
  request: {
    body: {
      required: true,
      content: {
        'image/*': { schema: BINARY },
        'application/octet-stream': { schema: BINARY },
        'multipart/form-data': {
          schema: { type: 'object' as const, required: ['file'], properties: { file: BINARY, ...FILE_DETAILS } },
        },
      },
    },
  },
  responses: {
    201: { description: 'stored', content: { 'application/json': { schema: AssetSchema } } },
    200: { description: 'a retry: stored before', content: { 'application/json': { schema: AssetSchema } } },
    ...problems(400, 401, 408, 410, 413, 415, 422, 429, 503),
  },
})

/** The router, to be mounted at `/assets` and `/images`, its counters, and the commit that other ways to an asset share. */
export const createIngestRoutes = (
  deps: IngestDeps,
  options: IngestOptions = {},
): {
  readonly routes: Router
  readonly commit: ReturnType<typeof createCommit>['commit']
  readonly stats: IngestStats
} => {
  const { maxUploadBytes = 100 * MIB, idleMs = 30_000, maxUploads = 128, maxBytesInFlight = 8192 * MIB } = options
  const admission: Admission = createAdmission({ maxUploads, maxBytesInFlight })
  const { commit, stats: commits } = createCommit(deps)
  const uploads = { created: 0, deduplicated: 0, replayed: 0, failed: 0, bytes: 0 }
  const routes = createRouter()

  routes.openapi({ ...uploadRoute, middleware: deps.guards.caller }, async (c) => {
    try {
      const declared = judgeHeaders(c, maxUploadBytes)
      const idempotencyKey = parseIdempotencyKey(c.req.header('Idempotency-Key'))
      const { ownerId } = c.get('principal')
      // Before it is paid for: what is sent away for want of a place costs nothing.
      using _place = admission.enter(ownerId, declared.bytes)
      await deps.quota.spend(c, 'uploads', 1)
      // A length that was not declared is paid for when it is known.
      if (declared.exact) await deps.quota.spend(c, 'upload-bytes', declared.bytes)
      const signal = c.req.raw.signal
      const { staged, details } = await receive(c, deps.originals, declared, { maxUploadBytes, idleMs }, signal)
      await using _staged = staged
      if (!declared.exact) await deps.quota.spend(c, 'upload-bytes', staged.bytes)
      const { asset, deduplicated, created } = await commit({ staged, ownerId, details, idempotencyKey }, signal)
      uploads[created ? (deduplicated ? 'deduplicated' : 'created') : 'replayed'] += 1
      uploads.bytes += staged.bytes
      return c.json(deps.describe(asset, c.get('publicUrl'), deduplicated), created ? 201 : 200)
    } catch (error) {
      uploads.failed += 1
      throw error
    }
  })
  return { routes, commit, stats: { admission: admission.stats, commits, uploads } }
}

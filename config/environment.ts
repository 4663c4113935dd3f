/**
 * Every environment variable Oriel reads, with its default: the one place where they are named. `readConfig` judges all of
 * them at once; a name that starts with ORIEL_ and is not here is a fault too, because it is a setting somebody believes in.
 */
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { z } from 'zod'
import { blobs, partsKey } from './blobs.ts'
import { clamd, prewarm, webhookSecret } from './jobs.ts'
import { bucket } from './limits.ts'
import { pairFaults } from './pairs.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const DAY_SECONDS = 24 * 60 * 60

const SIZE_UNITS = { '': 1, K: KIB, M: MIB, G: GIB } as const

/** A number of bytes, with an optional K, M or G (powers of 1024). */
const bytes = (fallback: number) =>
  z
    .string()
    .regex(/^\d{1,15}[KMG]?$/i, 'a number of bytes, such as 1048576, 64M or 10G')
    .transform((text) => {
      const unit = /[KMG]$/i.exec(text)?.[0].toUpperCase() ?? ''
      return Number.parseInt(text, 10) * SIZE_UNITS[unit as keyof typeof SIZE_UNITS]
    })
    .default(fallback)

const whole = (fallback: number, min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, 'a whole number')
    .transform(Number)
    .pipe(z.number().min(min).max(max))
    .default(fallback)

const choice = <const T extends readonly [string, ...string[]]>(values: T, fallback: T[number]) =>
  z.enum(values).default(fallback as never)

const webAddress = z.url({ protocol: /^https?$/ }).transform((text) => text.replace(/\/+$/, ''))

/** `redis:` or `rediss:` (TLS), nothing behind the database number. What is wrong is not repeated: it may contain a password. */
const redisAddress = z.string().refine(
  (text) => {
    const url = URL.parse(text)
    return (
      url !== null &&
      /^rediss?:$/.test(url.protocol) &&
      url.hostname !== '' &&
      /^\/?\d{0,3}$/.test(url.pathname) &&
      url.search + url.hash === ''
    )
  },
  { error: 'an address such as redis://user:password@host:6379/0, or rediss:// for TLS' },
)

const purgeAddresses = z
  .string()
  .transform((text) => text.split(',').map((address) => address.trim()))
  .pipe(z.array(z.url({ protocol: /^https?$/ }).transform((text) => text.replace(/\/+$/, ''))))

/** Shortest secret accepted from the environment: 16 characters, so that none can be guessed on the wire in a lifetime. */
const MIN_SECRET_CHARS = 16

/** `kid:secret` pairs, comma-separated; the first signs, all verify. */
const signingKeys = z.string().transform((text, context) =>
  text.split(',').map((pair) => {
    const [, kid, secret] = /^\s*([A-Za-z0-9_.-]{1,32}):([\x21-\x2b\x2d-\x7e]+)\s*$/.exec(pair) ?? []
    if (!kid || !secret || secret.length < MIN_SECRET_CHARS)
      context.addIssue(`pairs kid:secret, comma-separated, each secret ${MIN_SECRET_CHARS} characters or more`)
    return { kid: kid ?? '', secret: secret ?? '' }
  }),
)

export type DatabaseChoice =
  | { readonly engine: 'sqlite' }
  /** `place` is the URL without user and password, for messages. */
  | { readonly engine: 'postgres'; readonly url: string; readonly place: string }

/** A fault says nothing of the value: it may hold a password in whatever part. */
const database = z
  .string()
  .transform((text, context): DatabaseChoice => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url && /^postgres(ql)?:$/.test(url.protocol) && /^\/[^/]+$/.test(url.pathname))
      return { engine: 'postgres', url: text, place: `postgres://${url.host}${url.pathname}` }
    context.addIssue('a PostgreSQL address, postgres://user:password@host:port/database')
    return z.NEVER
  })
  .default({ engine: 'sqlite' })

/** What the data folder keeps of its own when nothing is set, and several origins on one database must have in common. */
const SHARED_SECRETS = ['ORIEL_ADMIN_KEY', 'ORIEL_SIGNING_KEYS'] as const

const VARIABLES = z.strictObject({
  PORT: whole(3000, 0, 65_535).describe('port to listen on; 0 takes a free one'),
  HOST: z.string().min(1).default('0.0.0.0').describe('address to listen on'),
  ORIEL_DATA: z
    .string()
    .min(1)
    .default('./data')
    .transform((path) => resolve(path))
    .describe('folder of all state'),
  ORIEL_ADMIN_KEY: z
    .string()
    .min(MIN_SECRET_CHARS, `${MIN_SECRET_CHARS} characters or more`)
    .optional()
    .describe('admin key; else one is made at first start and kept in ORIEL_DATA/admin-key'),
  ORIEL_SIGNING_KEYS: signingKeys
    .optional()
    .describe('kid:secret,… ; else made at first start, in ORIEL_DATA/signing-keys'),
  ORIEL_PUBLIC_URL: webAddress
    .optional()
    .describe('prefix of the URLs handed out; else the address of the request that asked'),
  ORIEL_LOG_LEVEL: choice(['fatal', 'error', 'warn', 'info', 'debug', 'silent'], 'info').describe('pino level'),
  ORIEL_TRUST_PROXY: choice(['0', '1'], '0').describe(
    '1: believe the last X-Forwarded-For entry (you run a proxy in front)',
  ),
  ORIEL_EDGE_PURGE: purgeAddresses
    .optional()
    .describe('addresses of edges that are told of hidden pictures, comma-separated, such as http://edge1:8080/purge'),
  ORIEL_EDGE_PURGE_KEY: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'printable characters without spaces')
    .min(MIN_SECRET_CHARS, `${MIN_SECRET_CHARS} characters or more`)
    .optional()
    .describe('what the edges know an origin by; goes with ORIEL_EDGE_PURGE'),
  ORIEL_DEFAULT_VISIBILITY: choice(['public', 'private'], 'public').describe('of an upload that does not say'),

  ORIEL_MAX_UPLOAD: bytes(100 * MIB).describe('largest single-shot upload'),
  ORIEL_MAX_PIXELS: whole(100_000_000, 1, 1_000_000_000).describe(
    'largest picture accepted, width × height of one page',
  ),
  ORIEL_MAX_UPLOADS_AT_ONCE: whole(64, 1, 10_000).describe('uploads being received; more are told to retry'),
  ORIEL_MAX_SESSION_UPLOAD: bytes(50 * GIB).describe('largest resumable upload'),
  ORIEL_MAX_SESSIONS: whole(2_000, 1, 1_000_000).describe('resumable uploads that one owner may have open'),
  ORIEL_SESSION_SECONDS: whole(DAY_SECONDS, 1, 30 * DAY_SECONDS).describe(
    'a resumable upload expires so long after it began',
  ),
  ORIEL_CHUNK_BYTES_IN_FLIGHT: bytes(512 * MIB).describe('chunks being received; with an S3 store they are in memory'),
  ORIEL_RESTORE_SECONDS: whole(7 * DAY_SECONDS, 0, 3650 * DAY_SECONDS).describe('grace between delete and removal'),
  ORIEL_QUARANTINE_SECONDS: whole(DAY_SECONDS, 0, 365 * DAY_SECONDS).describe(
    'how long bytes that nothing refers to any more are kept all the same, so that a mistake can be undone',
  ),
  ORIEL_SCRUB_RATE: bytes(4 * MIB).describe(
    'bytes of originals hashed again a second, a pass a week; 0: only when asked',
  ),
  ORIEL_VARIANT_DAYS: whole(0, 0, 36_500).describe(
    'variants on disk unused for so many days are removed; 0: only the budget counts (on S3: variant_days)',
  ),
  ORIEL_CLAMD: clamd.optional().describe('clamd that looks at uploads: tcp://host:3310 or unix:///path'),
  ORIEL_SCAN: choice(['off', 'after', 'hold'], 'off').describe(
    'after: served until found infected; hold: served once found clean (needs ORIEL_CLAMD)',
  ),
  ORIEL_PREWARM: prewarm
    .optional()
    .describe('variants rendered after an upload, as ends of image URLs: 320x.webp,@thumb.avif'),
  ORIEL_WEBHOOK: webAddress.optional().describe('told by POST when something about a picture has changed'),
  ORIEL_WEBHOOK_SECRET: webhookSecret.optional().describe('whsec_… of base64; signs what ORIEL_WEBHOOK is told'),
  ORIEL_SYNC_DAYS: whole(90, 1, 3650).describe(
    'changes are kept for so long; a device that was away longer starts afresh',
  ),

  ORIEL_LIMIT_UPLOADS: bucket('60000/60').describe('uploads of one owner: count/seconds, or off'),
  ORIEL_LIMIT_UPLOAD_BYTES: bucket('1T/3600').describe('their bytes: bytes/seconds, or off'),
  ORIEL_LIMIT_PRECHECKS: bucket('60000/60').describe('prechecks of one owner: count/seconds, or off'),
  ORIEL_LIMIT_CLAIMS: bucket('600/60').describe(
    'claims of one owner, a wrong proof counts as 20: count/seconds, or off',
  ),
  ORIEL_LIMIT_ADMIN: choice(['0', '1'], '0').describe('1: the admin key has these limits too'),

  ORIEL_RENDERERS: whole(Math.min(availableParallelism(), 16), 1, 64).describe(
    'renderer processes; default one a core',
  ),
  ORIEL_RENDER_DEADLINE_MS: whole(30_000, 100, 600_000).describe('a render that takes longer is killed'),
  ORIEL_RENDER_QUEUE: whole(256, 0, 100_000).describe('renders waiting; more are told to retry'),
  ORIEL_MEMORY_CACHE: bytes(64 * MIB).describe('hot variants in memory'),
  ORIEL_VARIANT_BUDGET: bytes(10 * GIB).describe('variants on disk; the least recently used go first'),

  ORIEL_BLOBS: blobs
    .default({ kind: 'disk' })
    .describe('store of originals and variants: disk, or s3://bucket?… as told below'),
  ORIEL_PARTS_KEY: partsKey
    .optional()
    .describe('id:secret that signs the parts which clients put into an S3 store; allowed to put, not to read'),
  ORIEL_COPY_BUDGET: bytes(4 * GIB).describe('local copies of originals being rendered, with an S3 store'),

  ORIEL_ANALYTICS: choice(['on', 'off'], 'on').describe('off: no event is recorded'),
  ORIEL_CLICKHOUSE: webAddress.optional().describe('a ClickHouse server; else the embedded engine'),
  ORIEL_SPOOL_BUDGET: bytes(GIB).describe('events waiting on disk; over it new ones are dropped and counted'),

  ORIEL_DATABASE: database.describe(
    'postgres://user:password@host:port/database, shared by any number of origins; else SQLite in the data folder',
  ),
  ORIEL_REDIS: redisAddress
    .optional()
    .describe('redis://… or rediss://… that all origins share, for speed only; else each is alone'),

  // Of the command line: here so that a shell which has them set can start a server.
  ORIEL_SERVER: z.string().optional().describe('the command line only: the server it talks to'),
  ORIEL_KEY: z.string().optional().describe('the command line only: its API key'),
})

export type Config = Readonly<z.output<typeof VARIABLES>>

/** Names and meanings, for `docs/CONFIGURATION.md` and its test. */
export const VARIABLE_NOTES: readonly { readonly name: string; readonly note: string }[] = Object.entries(
  VARIABLES.shape,
).flatMap(([name, schema]) => (schema.description ? [{ name, note: schema.description }] : []))

/**
 * @param env the process's environment; an empty value counts as unset.
 * @returns the whole configuration, defaults filled in.
 * @throws Error whose message lists every fault, one a line.
 */
export const readConfig = (env: Readonly<Record<string, string | undefined>>): Config => {
  const ours = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => value && (name in VARIABLES.shape || name.startsWith('ORIEL_'))),
  )
  const parsed = VARIABLES.safeParse(ours)
  const faults = [
    ...(parsed.success ? pairFaults(parsed.data) : namedFaults(parsed.error.issues)),
    ...(ours.ORIEL_DATABASE === undefined ? [] : SHARED_SECRETS.filter((name) => !ours[name]).map(unshared)),
  ]
  if (parsed.success && faults.length === 0) return Object.freeze(parsed.data)
  throw new Error(`invalid configuration\n${faults.map((fault) => `  ${fault}`).join('\n')}`)
}

const unshared = (name: string): string =>
  `${name}: needed with ORIEL_DATABASE, the same for every origin that shares it`

const namedFaults = (issues: z.core.$ZodIssue[]): readonly string[] =>
  issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((name) => `${name}: no such variable`)
      : [`${issue.path.join('.')}: ${issue.message}`],
  )

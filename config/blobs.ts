/** `ORIEL_BLOBS` parsed: where originals and variants are stored. "S3 without bucket" cannot be written. */
import { z } from 'zod'
import type { PartsKey, S3Location } from '../src/blobs/s3-location.ts'

export type BlobsChoice = { readonly kind: 'disk' } | ({ readonly kind: 's3' } & S3Location)

const flag = z.enum(['0', '1', 'true', 'false']).transform((text) => text === '1' || text === 'true')

/** What is read of them has to be restored first, which takes hours (docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html). */
const ARCHIVES: ReadonlySet<string> = new Set(['GLACIER', 'DEEP_ARCHIVE'])

const origin = z
  .url({ protocol: /^https?$/, error: 'an http or https address' })
  .refine((text) => isOrigin(text), 'no user, path or query')
  .transform((text) => new URL(text).origin)
  .optional()

/** The names are those of the URL. */
const Parameters = z.strictObject({
  endpoint: origin,
  public_endpoint: origin,
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,64}$/, 'lower-case letters, digits and -')
    .default('us-east-1'),
  // Characters that need no escaping in a key (docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html).
  prefix: z
    .string()
    .regex(/^[\w!.*'()-]+(\/[\w!.*'()-]+)*\/?$/, "letters, digits, / and !-_.*'()")
    .refine((text) => text.split('/').every((part) => part !== '.' && part !== '..'), 'no part that is . or ..')
    .max(200)
    .transform((text) => (text.endsWith('/') ? text : `${text}/`))
    .default(''),
  // Names of AWS, or of the operator's own store.
  cold_class: z
    .string()
    .regex(/^[\w.-]{1,64}$/, 'letters, digits, _, - and .')
    .refine((text) => !ARCHIVES.has(text.toUpperCase()), {
      error: 'GLACIER and DEEP_ARCHIVE cannot be read at once; STANDARD_IA, ONEZONE_IA and GLACIER_IR can',
    })
    .refine((text) => text.toUpperCase() !== 'STANDARD', 'STANDARD is where originals come from')
    .optional(),
  // Three at least: a use is noted once a day (lifecycle/uses.ts), so two days may lie between the last one and its note.
  cold_days: z
    .string()
    .regex(/^\d{1,5}$/, 'a whole number')
    .transform(Number)
    .pipe(z.number().min(3).max(36_500))
    .optional(),
  sse: z.enum(['AES256', 'aws:kms']).optional(),
  sse_kms_key_id: z.string().min(1).max(2048).optional(),
  force_path_style: flag.optional(),
  // Two at least: a use is noted once a day (blobs/s3-variants.ts), so a rule of one day would remove what is in use.
  variant_days: z
    .string()
    .regex(/^\d{1,5}$/, 'a whole number')
    .transform(Number)
    .pipe(z.number().min(2).max(36_500))
    .default(30),
})

/** Bucket names by AWS' rules (docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html). */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/

/** `disk`, or `s3://bucket?endpoint=…`; faults name the parameter and never repeat a value, which may be a secret. */
export const blobs = z.string().transform((text, context): BlobsChoice => {
  if (text === 'disk') return { kind: 'disk' }
  const url = URL.canParse(text) ? new URL(text) : undefined
  const fault = (message: string): never => {
    context.addIssue(message)
    return z.NEVER
  }
  if (url?.protocol !== 's3:') return fault('disk or s3://bucket?endpoint=…')
  if (url.username || url.password)
    return fault('no credentials in the URL; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
  if (!BUCKET.test(url.host)) return fault('s3://bucket: the bucket is 3 to 63 of a-z, 0-9, . and -')
  if (!['', '/'].includes(url.pathname) || url.hash) return fault('nothing but ?parameters after the bucket')
  if (new Set(url.searchParams.keys()).size !== url.searchParams.size) return fault('a parameter is given twice')
  const parsed = Parameters.safeParse(Object.fromEntries(url.searchParams))
  if (!parsed.success) return fault(parsed.error.issues.map(describe).join('; '))
  const {
    endpoint,
    public_endpoint: publicEndpoint,
    region,
    prefix,
    sse,
    sse_kms_key_id: keyId,
    force_path_style,
    variant_days,
  } = parsed.data
  const { cold_class: storageClass, cold_days: unseenDays } = parsed.data
  if ((storageClass === undefined) !== (unseenDays === undefined)) return fault('cold_class and cold_days go together')
  if (keyId !== undefined && sse !== 'aws:kms') return fault('sse_kms_key_id needs sse=aws:kms')
  return {
    kind: 's3',
    bucket: url.host,
    endpoint,
    publicEndpoint,
    region,
    prefix,
    encryption: sse === 'aws:kms' ? { kind: sse, keyId } : { kind: sse ?? 'none' },
    // Only AWS gives every bucket a host name of its own as a matter of course.
    forcePathStyle: force_path_style ?? endpoint !== undefined,
    variantDays: variant_days,
    cold: storageClass === undefined || unseenDays === undefined ? undefined : { storageClass, unseenDays },
  }
})

/** Also asked about what is no URL: zod runs every check of a text before it says what is wrong. */
const isOrigin = (text: string): boolean => {
  const url = URL.parse(text)
  return url !== null && url.href === `${url.origin}/`
}

const describe = (issue: z.core.$ZodIssue): string =>
  issue.code === 'unrecognized_keys'
    ? `no such parameter: ${issue.keys.join(', ')}`
    : `${issue.path.join('.')}: ${issue.message}`

/** `accessKeyId:secretAccessKey`. A fault does not repeat it. */
export const partsKey = z.string().transform((text, context): PartsKey => {
  const [, accessKeyId, secretAccessKey] = /^([\x21-\x39\x3b-\x7e]{3,128}):([\x21-\x7e]{8,256})$/.exec(text) ?? []
  if (accessKeyId && secretAccessKey) return { accessKeyId, secretAccessKey }
  context.addIssue('an access key as id:secret')
  return z.NEVER
})

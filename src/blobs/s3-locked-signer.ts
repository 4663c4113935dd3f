/**
 * Signed requests that also forbid: by SigV4 the list of signed headers may name some that are not sent. A store that passes over those when
 * it checks (Ceph: rgw_auth_s3.cc, "warning env var not available"; tried with 16.2) finds the signature wrong as soon as a client does send one.
 * The SDK's presigner cannot sign what is not there, hence this one. Others refuse such a request: `s3-signer.ts` tries it first.
 */
import { createHash, createHmac } from 'node:crypto'
import type { Credentials, SignUrl } from './s3-signer.ts'

/**
 * What a put obeys beside its body and its type (docs.aws.amazon.com/AmazonS3/latest/API: PutObject, CopyObject, UploadPartCopy): a copy in
 * its place, who may read it, how and how long it is kept; and a key that we do not have, with which nobody could complete.
 */
const FORBIDDEN = [
  'x-amz-acl',
  'x-amz-bypass-governance-retention',
  'x-amz-copy-source',
  'x-amz-copy-source-range',
  'x-amz-grant-full-control',
  'x-amz-grant-read',
  'x-amz-grant-read-acp',
  'x-amz-grant-write-acp',
  'x-amz-metadata-directive',
  'x-amz-object-lock-legal-hold',
  'x-amz-object-lock-mode',
  'x-amz-object-lock-retain-until-date',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-server-side-encryption-customer-key',
  'x-amz-server-side-encryption-customer-key-md5',
  'x-amz-storage-class',
  'x-amz-tagging',
  'x-amz-tagging-directive',
  'x-amz-website-redirect-location',
] as const

const ALGORITHM = 'AWS4-HMAC-SHA256'

export interface LockedSignerOptions {
  readonly bucket: string
  readonly region: string
  /** Of the store, as the client of the request reaches it. */
  readonly origin: string
  readonly forcePathStyle: boolean
  readonly credentials: Credentials
}

/** Signs in the query (docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html), naming what may not be sent. */
export const createLockedSigner =
  ({ bucket, region, origin, forcePathStyle, credentials }: LockedSignerOptions): SignUrl =>
  async (key, bytes, signedHeaders, seconds) => {
    const { accessKeyId, secretAccessKey, sessionToken } = await credentials()
    const url = objectUrl(origin, bucket, key, forcePathStyle)
    const sent = { ...signedHeaders, 'content-length': String(bytes), host: url.host }
    const names = [...Object.keys(sent), ...FORBIDDEN].sort().join(';')
    const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
    const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`
    const query = canonicalQuery({
      'X-Amz-Algorithm': ALGORITHM,
      'X-Amz-Credential': `${accessKeyId}/${scope}`,
      'X-Amz-Date': date,
      'X-Amz-Expires': String(seconds),
      ...(sessionToken !== undefined && { 'X-Amz-Security-Token': sessionToken }),
      'X-Amz-SignedHeaders': names,
    })
    const headers = Object.entries(sent)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `${name}:${value}\n`)
      .join('')
    const request = ['PUT', url.pathname, query, headers, names, 'UNSIGNED-PAYLOAD'].join('\n')
    const text = [ALGORITHM, date, scope, createHash('sha256').update(request).digest('hex')].join('\n')
    const signature = hmac(signingKey(secretAccessKey, scope), text).toString('hex')
    return `${url.href}?${query}&X-Amz-Signature=${signature}`
  }

const objectUrl = (origin: string, bucket: string, key: string, forcePathStyle: boolean): URL => {
  const url = new URL(origin)
  if (!forcePathStyle) url.hostname = `${bucket}.${url.hostname}`
  url.pathname = `${forcePathStyle ? `/${bucket}` : ''}/${key.split('/').map(encode).join('/')}`
  return url
}

const canonicalQuery = (parameters: Readonly<Record<string, string>>): string =>
  Object.entries(parameters)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&')

/** RFC 3986's unreserved characters stay, as SigV4 wants; JavaScript leaves five more. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)

const signingKey = (secret: string, scope: string): Buffer =>
  scope.split('/').reduce(hmac, Buffer.from(`AWS4${secret}`))

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readConfig, VARIABLE_NOTES } from '../../config/environment.ts'

describe('configuration', () => {
  it('needs nothing set', () => {
    const config = readConfig({})
    expect(config.PORT).toBe(3000)
    expect(config.ORIEL_DATA).toBe(resolve('./data'))
  })

  it('reports every fault at once, by name', () => {
    const faulty = {
      PORT: 'x',
      ORIEL_MAX_UPLOAD: '5X',
      ORIEL_TYPO: '1',
      ORIEL_REDIS: 'http://:hunter2@x',
      ORIEL_ADMIN_KEY: 'short',
    }
    expect(() => readConfig(faulty)).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(
          /(?=[\s\S]*PORT:)(?=[\s\S]*MAX_UPLOAD:)(?=[\s\S]*ORIEL_TYPO: no such)(?=[\s\S]*REDIS:)(?=[\s\S]*ADMIN_KEY:)/,
        ),
      }),
    )
  })

  it('never repeats a secret in a fault', () => {
    expect(() => readConfig({ ORIEL_SIGNING_KEYS: 'k1:hunter2' })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
    )
  })

  it.for(['redis://h', 'rediss://u:p%40ss@h:6380/3', 'redis://[::1]:6379/'])('takes %s for Redis', (address) => {
    expect(readConfig({ ORIEL_REDIS: address }).ORIEL_REDIS).toBe(address)
  })

  it.for(['redis://', 'h:6379', 'redis://:hunter2@h:x', 'redis://:hunter2@h/name', 'redis://:hunter2@h/0?db=1'])(
    'refuses %s for Redis, naming the variable and not the password',
    (address) => {
      const message = expect.stringMatching(/^(?=[\s\S]*ORIEL_REDIS: )(?![\s\S]*hunter2)/)
      expect(() => readConfig({ ORIEL_REDIS: address })).toThrow(expect.objectContaining({ message }))
    },
  )

  const shared = { ORIEL_ADMIN_KEY: 'admin-0123456789ab', ORIEL_SIGNING_KEYS: 'k1:0123456789abcdef' }

  it.for([
    ['postgres://u:hunter2@h:5433/oriel?sslmode=require', 'postgres://h:5433/oriel'],
    ['postgresql://h/oriel', 'postgres://h/oriel'],
  ] as const)('takes %s for the database, and calls it %s', ([url, place]) => {
    expect(readConfig({ ...shared, ORIEL_DATABASE: url }).ORIEL_DATABASE).toEqual({ engine: 'postgres', url, place })
  })

  it('keeps rows in SQLite when no database is named', () => {
    expect(readConfig({}).ORIEL_DATABASE).toEqual({ engine: 'sqlite' })
  })

  it.for(['mysql://u:hunter2@h/db', 'postgres://u:hunter2@h', 'u:hunter2@h/db', 'postgres://u:hunter2@h:x/db'])(
    'refuses %s for the database, naming the variable and not the password',
    (address) => {
      const message = expect.stringMatching(/^(?=[\s\S]*ORIEL_DATABASE: )(?![\s\S]*hunter2)/)
      expect(() => readConfig({ ...shared, ORIEL_DATABASE: address })).toThrow(expect.objectContaining({ message }))
    },
  )

  it('asks for the secrets that origins on one database must have in common', () => {
    const message = expect.stringMatching(
      /ORIEL_ADMIN_KEY: needed with ORIEL_DATABASE[\s\S]*ORIEL_SIGNING_KEYS: needed/,
    )
    expect(() => readConfig({ ORIEL_DATABASE: 'postgres://h/db' })).toThrow(expect.objectContaining({ message }))
  })

  it.for([
    ['1024', 1024],
    ['64M', 64 * 1024 ** 2],
    ['2g', 2 * 1024 ** 3],
  ] as const)('reads %s as %d bytes', ([text, bytes]) => {
    expect(readConfig({ ORIEL_MEMORY_CACHE: text }).ORIEL_MEMORY_CACHE).toBe(bytes)
  })

  it('takes several signing keys, the first to sign with', () => {
    const keys = readConfig({ ORIEL_SIGNING_KEYS: 'new:0123456789abcdef, old:fedcba9876543210' }).ORIEL_SIGNING_KEYS
    expect(keys?.map((key) => key.kid)).toEqual(['new', 'old'])
  })

  it('counts an empty value as unset', () => {
    expect(readConfig({ PORT: '' }).PORT).toBe(3000)
  })

  it('is documented whole, each variable with what it is for', () => {
    const page = readFileSync(new URL('../../docs/CONFIGURATION.md', import.meta.url), 'utf8')
    const rows = VARIABLE_NOTES.map(({ name, note }) => `| \`${name}\` | ${note} |`)
    expect(rows.filter((row) => !page.includes(row))).toEqual([])
    const named = [...page.matchAll(/`(ORIEL_[A-Z_]+)`/g)].map((match) => match[1])
    expect(named.filter((name) => !page.includes(`| \`${name}\` |`))).toEqual([])
  })
})

describe('ORIEL_PARTS_KEY', () => {
  it('is an id and a secret, which a fault does not repeat', () => {
    const key = { accessKeyId: 'AKIA1', secretAccessKey: 'a/b+c:d=efgh' }
    expect(readConfig({ ORIEL_PARTS_KEY: 'AKIA1:a/b+c:d=efgh' }).ORIEL_PARTS_KEY).toEqual(key)
    for (const text of ['hunter2hunter2', 'AKIA1:hunter2', ':hunter2hunter2', 'a b:hunter2hunter2']) {
      expect(() => readConfig({ ORIEL_PARTS_KEY: text })).toThrow('ORIEL_PARTS_KEY: an access key as id:secret')
      expect(() => readConfig({ ORIEL_PARTS_KEY: text })).not.toThrow('hunter2')
    }
  })
})

const blobsOf = (text: string) => readConfig({ ORIEL_BLOBS: text }).ORIEL_BLOBS

describe('ORIEL_BLOBS', () => {
  it('is the disk unless set', () => {
    expect(readConfig({}).ORIEL_BLOBS).toEqual({ kind: 'disk' })
    expect(blobsOf('disk')).toEqual({ kind: 'disk' })
  })

  it('needs only a bucket, which means AWS', () => {
    expect(blobsOf('s3://my-bucket')).toEqual({
      kind: 's3',
      bucket: 'my-bucket',
      endpoint: undefined,
      region: 'us-east-1',
      prefix: '',
      encryption: { kind: 'none' },
      forcePathStyle: false,
      variantDays: 30,
      cold: undefined,
    })
  })

  it('takes every parameter', () => {
    const parameters =
      'public_endpoint=https://img.example/&region=eu-1&prefix=a/b&sse=aws:kms&sse_kms_key_id=k&force_path_style=0&variant_days=7&cold_class=STANDARD_IA&cold_days=90'
    expect(blobsOf(`s3://my-bucket?endpoint=https://s3.example:9000/&${parameters}`)).toEqual({
      kind: 's3',
      bucket: 'my-bucket',
      endpoint: 'https://s3.example:9000',
      publicEndpoint: 'https://img.example',
      region: 'eu-1',
      prefix: 'a/b/',
      encryption: { kind: 'aws:kms', keyId: 'k' },
      forcePathStyle: false,
      variantDays: 7,
      cold: { storageClass: 'STANDARD_IA', unseenDays: 90 },
    })
    expect(blobsOf('s3://my-bucket?endpoint=http://127.0.0.1:1')).toMatchObject({ forcePathStyle: true })
  })

  it.for([
    ['http://bucket', 'disk or s3://'],
    ['s3://', 'the bucket is'],
    ['s3://Bucket_1', 'the bucket is'],
    ['s3://my-bucket/photos', 'nothing but ?parameters'],
    ['s3://hunter2:hunter2@my-bucket', 'no credentials in the URL'],
    ['s3://my-bucket?endpoint=https://hunter2:hunter2@s3.example', 'endpoint: no user'],
    ['s3://my-bucket?endpoint=ftp://hunter2', 'endpoint: an http or https address'],
    ['s3://my-bucket?public_endpoint=https://s3.example/path', 'public_endpoint: no user, path or query'],
    ['s3://my-bucket?endpoint=', 'endpoint: an http or https address'],
    ['s3://my-bucket?endpoint=hunter2', 'endpoint: an http or https address'],
    ['s3://my-bucket?secret_access_key=hunter2', 'no such parameter: secret_access_key'],
    ['s3://my-bucket?region=a&region=hunter2', 'given twice'],
    ['s3://my-bucket?sse=hunter2', 'sse: '],
    ['s3://my-bucket?sse=AES256&sse_kms_key_id=hunter2', 'sse_kms_key_id needs sse=aws:kms'],
    ['s3://my-bucket?prefix=a/../hunter2', 'prefix: '],
    ['s3://my-bucket?variant_days=1', 'variant_days: '],
    ['s3://my-bucket?cold_class=GLACIER&cold_days=90', 'cold_class: GLACIER and DEEP_ARCHIVE cannot be read at once'],
    ['s3://my-bucket?cold_class=deep_archive&cold_days=90', 'cannot be read at once'],
    ['s3://my-bucket?cold_class=STANDARD&cold_days=90', 'cold_class: STANDARD is where'],
    ['s3://my-bucket?cold_class=hunter2', 'cold_class and cold_days go together'],
    ['s3://my-bucket?cold_days=90', 'cold_class and cold_days go together'],
    ['s3://my-bucket?cold_class=COLD&cold_days=2', 'cold_days: '],
  ] as const)('refuses %s, and repeats no secret', ([text, fault]) => {
    expect(() => blobsOf(text)).toThrow('ORIEL_BLOBS: ')
    expect(() => blobsOf(text)).toThrow(fault)
    expect(() => blobsOf(text)).not.toThrow('hunter2')
  })
})

import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'

/** Import only your own folder or a lower rank (anchors §5a); siblings of one rank meet in `core` and in ports. */
const RANK: Readonly<Record<string, number>> = {
  core: 0,
  http: 1,
  telemetry: 1,
  imaging: 2,
  blobs: 2,
  metadata: 2,
  coordination: 2,
  delivery: 3,
  ingest: 3,
  library: 3,
  lifecycle: 3,
  analytics: 3,
  sync: 3,
  ui: 3,
  jobs: 4,
  config: 4,
  app: 5,
  banner: 5,
  'first-start': 5,
  compose: 6,
  'compose-analytics': 5,
  'compose-api': 5,
  'compose-blobs': 5,
  'compose-claims': 5,
  'compose-edges': 6,
  'compose-health': 5,
  'compose-shared': 6,
  'compose-quota': 5,
  'compose-sync': 5,
  'compose-jobs': 5,
  'compose-lifecycle': 5,
  'compose-uploads': 5,
  server: 7,
  main: 8,
  cli: 8,
}

/** Files that are drivers: only their own folder and the composition root may name them. */
const DRIVERS = [
  /^blobs\/(disk|s3)-/,
  /^metadata\/(sqlite|postgres|folder-lock)/,
  /^coordination\/(in-process|postgres-|redis|http-edge-purger)/,
  /^imaging\/pool/,
]

/** Rank 3 areas may use each other's ports: types that say what one needs of the other. */
const PORT = /-port\.ts$/

const ROOT = new URL('..', import.meta.url).pathname
const files = globSync('src/**/*.ts', { cwd: ROOT }).sort()
const areaOf = (path: string): string => path.split('/')[0]?.replace(/\.ts$/, '') ?? ''

const importsOf = (file: string): readonly string[] =>
  [...readFileSync(join(ROOT, file), 'utf8').matchAll(/from '(\.[^']+)'/g)].map((match) =>
    relative(ROOT, join(ROOT, dirname(file), match[1] ?? '')).replace(/^src\//, ''),
  )

describe('architecture', () => {
  it('imports only go down the ranks', () => {
    const wrong = files.flatMap((file) => {
      const from = areaOf(file.replace(/^src\//, ''))
      return importsOf(file).flatMap((path) => {
        const to = areaOf(path)
        if (from === to || PORT.test(path)) return []
        const [mine, theirs] = [RANK[from], RANK[to]]
        if (mine === undefined || theirs === undefined)
          return [`${file}: no rank for ${mine === undefined ? from : to}`]
        const tables = to === 'config' && /^config\/(ladder|presets)\.ts$/.test(path)
        return theirs < mine || tables || mine >= 5 ? [] : [`${file} imports ${path}`]
      })
    })
    expect(wrong).toEqual([])
  })

  it('only the composition root names a driver', () => {
    const wrong = files.flatMap((file) =>
      importsOf(file)
        .filter((path) => DRIVERS.some((driver) => driver.test(path)))
        .filter((path) => areaOf(path) !== areaOf(file.replace(/^src\//, '')) && !file.startsWith('src/compose'))
        .map((path) => `${file} imports ${path}`),
    )
    expect(wrong).toEqual([])
  })

  it.for([
    ['sharp', /^src\/imaging\//],
    ['kysely', /^src\/metadata\//],
    ['node:sqlite', /^src\/metadata\//],
    ['pg', /^src\/(metadata|coordination)\/postgres/],
    ['@clickhouse/client', /^src\/analytics\//],
    ['chdb', /^src\/analytics\//],
    ['@aws-sdk/client-s3', /^src\/blobs\/s3-/],
    ['@aws-sdk/lib-storage', /^src\/blobs\/s3-/],
    ['ioredis', /^src\/coordination\//],
    ['rate-limiter-flexible', /^src\/coordination\//],
    ['prom-client', /^src\/(telemetry\.ts|http\/ops\.ts)/],
  ] as const)('only its own area knows %s', ([library, allowed]) => {
    const users = files.filter((file) => readFileSync(join(ROOT, file), 'utf8').includes(`from '${library}'`))
    expect(users.filter((file) => !allowed.test(file))).toEqual([])
  })

  it('no source file outgrows one idea', () => {
    const long = files
      .map((file) => [file, readFileSync(join(ROOT, file), 'utf8').split('\n').length] as const)
      .filter(([, lines]) => lines > 250)
    expect(long).toEqual([])
  })
})

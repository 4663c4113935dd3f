/** Holds compose.yaml and what it mounts against the code: most machines that run the tests have no Docker engine and none of the images. */
import { globSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readConfig, VARIABLE_NOTES } from '../../config/environment.ts'
import { type Origin, startOrigin } from '../e2e/origin.ts'
import { startClickHouse } from '../engines/clickhouse.ts'
import { PURGE_KEY } from '../engines/nginx.ts'
import { stackIsHere, startStack } from '../engines/stack.ts'

const ROOT = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8')

interface Service {
  readonly image?: string
  readonly build?: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly depends_on?: Readonly<Record<string, unknown>> | readonly string[]
  readonly healthcheck?: { readonly test: readonly string[] }
}

const secrets = new Map(
  read('.env.example')
    .split('\n')
    .flatMap((line) => {
      const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? []
      return name && value !== undefined ? [[name, value] as const] : []
    }),
)

/** As Compose does it (docs.docker.com/reference/compose-file/interpolation), as far as the file uses it. */
const interpolate = (text: string): string =>
  text.replace(/\$\$|\$\{(\w+)(?::[-?]([^}]*))?\}/g, (whole, name?: string) => {
    if (whole === '$$') return '$'
    const value = secrets.get(name ?? '')
    if (value === undefined) throw new Error(`.env.example has no ${name}`)
    return value
  })

const file = parse(interpolate(read('compose.yaml')), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}
const { services } = file
const origins = Object.entries(services).filter(([name]) => name.startsWith('origin-'))
const named = (name: string): Service => {
  const service = services[name]
  if (!service) throw new Error(`no service ${name}`)
  return service
}

/** Every address that a text names, such as `redis:6379`. */
const addresses = (text: string): readonly (readonly [host: string, port: string])[] =>
  [...text.matchAll(/(?<=^|[/@[ ])([a-z][a-z0-9-]*):(\d{2,5})(?=$|[/,;\] ])/gm)].map(([, host = '', port = '']) => [
    host,
    port,
  ])

/** What each service listens on inside of the network, by what it is. */
const LISTENS: Readonly<Record<string, string>> = {
  edge: '8080',
  'origin-1': '3000',
  'origin-2': '3000',
  postgres: '5432',
  redis: '6379',
  s3: '9000',
  clickhouse: '8123',
  prometheus: '9090',
  grafana: '3000',
}

describe('compose.yaml', () => {
  it('has the edge, two origins, and every engine', () => {
    expect(Object.keys(services)).toEqual(expect.arrayContaining(Object.keys(LISTENS)))
    expect(origins.map(([name]) => name)).toEqual(['origin-1', 'origin-2'])
  })

  it('gives the origins variables that exist, and a configuration that they start with', () => {
    const known = new Set(VARIABLE_NOTES.map(({ name }) => name))
    for (const [, { environment = {} }] of origins) {
      const ours = Object.keys(environment).filter((name) => name.startsWith('ORIEL_'))
      expect(ours.filter((name) => !known.has(name))).toEqual([])
      const config = readConfig(environment)
      expect(config.ORIEL_DATABASE.engine).toBe('postgres')
      expect(config.ORIEL_BLOBS.kind).toBe('s3')
      expect(config).toMatchObject({ PORT: 3000, ORIEL_TRUST_PROXY: '1' })
    }
    const [one, two] = origins.map(([, { environment }]) => environment)
    expect(one).toEqual(two)
    expect(named('edge').environment?.ORIEL_EDGE_PURGE_KEY).toBe(one?.ORIEL_EDGE_PURGE_KEY)
  })

  it('has no secret of its own: each comes from the environment, and .env.example names all of them and no other', () => {
    const used = [...read('compose.yaml').matchAll(/(?<!\$)\$\{(\w+)/g)].map(([, name]) => name)
    expect(new Set(used)).toEqual(new Set(secrets.keys()))
    for (const [name, value] of secrets) if (!name.endsWith('_URL')) expect(value).toMatch(/change-me/)
  })

  it('mounts files that are there, and volumes that it declares', () => {
    for (const { volumes = [] } of Object.values(services))
      for (const [source = ''] of volumes.map((volume) => volume.split(':')))
        if (source.startsWith('.'))
          expect(statSync(new URL(source, ROOT)).isFile() || statSync(new URL(source, ROOT)).isDirectory()).toBe(true)
        else expect(Object.keys(file.volumes)).toContain(source)
    // What the edge copies together is what nginx.conf includes.
    const edge = globSync('*.conf', { cwd: new URL('nginx/', ROOT).pathname })
    const included = ['nginx/nginx.conf', 'nginx/edge.conf'].flatMap((path) =>
      [...read(path).matchAll(/^\s*include ([\w.-]+);/gm)].map(([, name]) => name),
    )
    expect(edge).toEqual(expect.arrayContaining(included))
  })

  it('waits for services that exist', () => {
    for (const { depends_on: waits = {} } of Object.values(services))
      expect(Object.keys(services)).toEqual(expect.arrayContaining(Array.isArray(waits) ? waits : Object.keys(waits)))
  })

  it('names every service by the port that it listens on', () => {
    const texts = [
      ...Object.values(services).flatMap(({ environment = {} }) => Object.values(environment)),
      named('bucket').command?.join(' ') ?? '',
      read('deploy/nginx/origins.conf'),
      read('deploy/prometheus.yml'),
      read('deploy/grafana/provisioning/datasources/prometheus.yml'),
    ]
    const asked = texts.flatMap(addresses).filter(([host]) => host in services)
    expect(asked.length).toBeGreaterThan(8)
    expect(asked.filter(([host, port]) => LISTENS[host] !== port)).toEqual([])
    expect(read('nginx/edge.conf')).toContain(`listen ${LISTENS.edge};`)
    for (const [name, { ports = [] }] of Object.entries(services))
      expect(ports.filter((port) => port.split(':').at(-1) !== LISTENS[name])).toEqual([])
    expect(read('deploy/nginx/origins.conf').match(/^server/gm)).toHaveLength(origins.length)
  })

  it('provisions each thing once: Grafana reads .yaml and .yml alike, and does not start with two default datasources', () => {
    const kinds = globSync('*/*', { cwd: new URL('deploy/grafana/provisioning/', ROOT).pathname }).map(dirname)
    expect(kinds.sort()).toEqual(['dashboards', 'datasources'])
  })

  it('pins every image by a tag with a number', () => {
    for (const [name, { image }] of Object.entries(services))
      expect([name, image]).toEqual([name, expect.stringMatching(/:[\w.-]*\d[\w.-]*$/)])
  })
})

describe('what compose.yaml asks of an origin', () => {
  const opened = new AsyncDisposableStack()
  let origin: Origin
  /** With every engine, so that it has every metric; where one is not installed, an embedded origin, and the engines' panels are left out. */
  const whole = stackIsHere('the metrics of shared engines on the dashboards')

  beforeAll(async () => {
    const clickhouse = whole ? await startClickHouse() : undefined
    if (clickhouse) opened.use(clickhouse)
    const env = { ORIEL_EDGE_PURGE: 'http://127.0.0.1:9/purge', ORIEL_EDGE_PURGE_KEY: PURGE_KEY, ORIEL_ANALYTICS: 'on' }
    origin = whole
      ? opened
          .use(
            await startStack({ origins: 1, env: { ...env, ...(clickhouse && { ORIEL_CLICKHOUSE: clickhouse.url }) } }),
          )
          .origin(0)
      : opened.use(await startOrigin({ env }))
  })
  afterAll(() => opened.disposeAsync())

  it('is answered: the paths of the health checks and of the scrape', async () => {
    const checks = Object.values(services).flatMap(({ healthcheck }) => healthcheck?.test.join(' ') ?? [])
    const ours = checks.flatMap((check) => /:(?:3000|8080)(\/\w+)/.exec(check)?.[1] ?? [])
    expect(ours.sort()).toEqual(['/healthz', '/readyz', '/readyz'])
    // Polled, since a machine that has just started every engine may take more than the second that a check is given.
    for (const path of [...ours, '/metrics'])
      await expect.poll(async () => [path, (await fetch(origin.url + path)).status]).toEqual([path, 200])
    expect(read('deploy/prometheus.yml')).toContain('metrics_path: /metrics')
  })

  it('exists: every metric of the dashboards', async () => {
    await (await fetch(`${origin.url}/assets`)).text()
    const scraped = await (await fetch(`${origin.url}/metrics`)).text()
    const exposed = new Set([...scraped.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{| )/gm)].map(([, name]) => name))
    for (const [, name] of scraped.matchAll(/^# TYPE (\w+)/gm)) exposed.add(name)
    const paths = globSync('deploy/grafana/dashboards/*.json', { cwd: ROOT.pathname })
    expect(paths).not.toEqual([])
    const asked = paths.flatMap((path) =>
      [...read(path).matchAll(/\b(?:oriel|nodejs|process)_\w+/g)].map(([name]) => name),
    )
    expect(asked.length).toBeGreaterThan(30)
    const shared = /^oriel_(s3|redis|metadata|edges|notices|locker|variants_shared)_/
    expect(asked.filter((name) => !exposed.has(name) && (whole || !shared.test(name)))).toEqual([])
  })
})

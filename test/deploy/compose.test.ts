/** `compose.yaml` cannot be brought up here, so it is held against what the code knows: settings, files, ports, metrics. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { readConfig } from '../../config/environment.ts'
import { startOrigin } from '../e2e/origin.ts'

const ROOT = new URL('../../', import.meta.url)
const textOf = (path: string) => readFileSync(new URL(path, ROOT), 'utf8')

const Service = z.looseObject({
  image: z.string().optional(),
  build: z.string().optional(),
  environment: z.record(z.string(), z.string()).default({}),
  volumes: z.array(z.string()).default([]),
  depends_on: z.union([z.array(z.string()), z.record(z.string(), z.unknown())]).default([]),
})
const Compose = z.looseObject({ services: z.record(z.string(), Service), volumes: z.record(z.string(), z.null()) })

const { services, volumes } = Compose.parse(parse(textOf('compose.yaml'), { merge: true }))
const origins = Object.entries(services).filter(([, { build }]) => build === '.')

/** As Compose would fill it in, from an `.env` whose values are all the same. */
const filled = (value: string) => value.replace(/\$\{\w+:?[-?]?[^}]*\}/g, 'a-secret-of-some-length')

describe('compose.yaml', () => {
  it('starts two origins with settings that Oriel takes, each engine among them', () => {
    expect(origins.map(([name]) => name)).toEqual(['origin-1', 'origin-2'])
    for (const [, { environment }] of origins) {
      const env = Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, filled(value)]))
      const config = readConfig({ ...env, ORIEL_PUBLIC_URL: 'http://localhost:8080' })
      expect([config.ORIEL_DATABASE.engine, config.ORIEL_BLOBS.kind]).toEqual(['postgres', 's3'])
      expect([config.ORIEL_REDIS, config.ORIEL_CLICKHOUSE, config.ORIEL_EDGE_PURGE]).not.toContain(undefined)
    }
  })

  it('asks only for services, volumes and files that are there', () => {
    for (const [name, service] of Object.entries(services)) {
      const needs = Array.isArray(service.depends_on) ? service.depends_on : Object.keys(service.depends_on)
      for (const needed of needs) expect(services, name).toHaveProperty(needed)
      for (const volume of service.volumes) {
        const [source = ''] = volume.split(':')
        if (source.startsWith('./')) expect(existsSync(new URL(source, ROOT)), source).toBe(true)
        else expect(volumes, name).toHaveProperty(source)
      }
      const hosts = Object.values(service.environment).flatMap((value) =>
        [...filled(value).matchAll(/(?:@|http:\/\/)([a-z0-9-]+):\d+/g)].map(([, host = '']) => host),
      )
      for (const host of hosts.filter((host) => host !== 'localhost')) expect(services, name).toHaveProperty(host)
    }
  })

  it('names a version of every image', () => {
    for (const [name, { image, build }] of Object.entries(services))
      expect(build ?? image?.replace(/^.*:/, ''), name).toMatch(/^\.$|\d/)
  })

  it('asks for no secret that .env.example does not have, and has none in it', () => {
    const asked = new Set([...textOf('compose.yaml').matchAll(/\$\{(\w+)/g)].map(([, name]) => name))
    const lines = textOf('.env.example')
      .split('\n')
      .filter((line) => line && !line.startsWith('#'))
    const example = new Map(lines.map((line) => line.split('=', 2) as [string, string]))
    expect([...example.keys()].sort()).toEqual([...asked].sort())
    expect([...example].filter(([name, value]) => value !== '' && name !== 'ORIEL_PUBLIC_URL')).toEqual([])
  })

  it('has one nginx upstream and one Prometheus target for each origin', () => {
    const addresses = origins.map(([name, { environment }]) => `${name}:${environment.PORT}`)
    const upstream = [...textOf('deploy/nginx/origins.conf').matchAll(/^server (\S+)/gm)].map(([, at]) => at)
    expect(upstream).toEqual(addresses)
    const prometheus = parse(textOf('deploy/prometheus.yml')) as {
      readonly scrape_configs: readonly [
        { readonly static_configs: readonly [{ readonly targets: readonly string[] }] },
      ]
    }
    expect(prometheus.scrape_configs[0].static_configs[0].targets).toEqual(addresses)
  })
})

describe('the dashboards', () => {
  it('ask only for metrics that an origin has', async () => {
    await using origin = await startOrigin()
    const scraped = await (await fetch(`${origin.url}/metrics`)).text()
    const known = new Set([...scraped.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name))
    const files = globSync('deploy/grafana/dashboards/*.json', { cwd: ROOT.pathname })
    const expressions = files.flatMap((file) =>
      [...textOf(file).matchAll(/"expr": "((?:[^"\\]|\\.)*)"/g)].map(([, expression = '']) => expression),
    )
    const asked = expressions.flatMap((expression) => expression.match(/\b(?:oriel|nodejs|process)_\w+/g) ?? [])
    expect(asked.length).toBeGreaterThan(20)
    expect(asked.filter((name) => !known.has(name.replace(/_(?:bucket|sum|count)$/, '')))).toEqual([])
  })
})

/** Debian's Varnish with the generated VCL in front of some origins, on a free port, in a temporary folder. */
import { spawn, spawnSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderVarnish, VARNISH_DEFAULTS, type VarnishSettings } from '../../edge/generate/varnish.ts'
import { answers, collect, type Edge, PURGE_KEY, stopped } from './nginx.ts'
import { freePort } from './port.ts'

export const varnishThere = spawnSync('varnishd', ['-V']).error === undefined
if (!varnishThere) {
  if (process.env.CI) throw new Error('varnish is not installed: apt-get install varnish')
  console.log('left out: the edge in Varnish, which is not installed (apt-get install varnish)')
}

export interface VarnishOptions extends Partial<VarnishSettings> {
  /** VCL behind the generated. */
  readonly extra?: string
}

export const startVarnish = async ({ extra = '', ...settings }: VarnishOptions): Promise<Edge> => {
  const folder = await mkdtemp(join(tmpdir(), 'oriel-varnish-'))
  await chmod(folder, 0o755)
  const port = await freePort()
  const vcl = join(folder, 'edge.vcl')
  await writeFile(vcl, `${renderVarnish({ ...VARNISH_DEFAULTS, ...settings })}\n${extra}`)
  const child = spawn(
    'varnishd',
    ['-F', '-n', join(folder, 'state'), '-a', `127.0.0.1:${port}`, '-f', vcl, '-s', 'malloc,64m'],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH ?? '', ORIEL_EDGE_PURGE_KEY: PURGE_KEY } },
  )
  await answers(port, child, collect(child))
  return {
    pid: child.pid ?? 0,
    url: `http://127.0.0.1:${port}`,
    folder,
    [Symbol.asyncDispose]: async () => {
      await stopped(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** nginx for the benchmark: one worker on the server's core, with the edge, and the same bytes as files beside it. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { NGINX_DEFAULTS } from '../edge/generate/nginx.ts'
import { type Edge, nginxThere, startNginx } from '../test/engines/nginx.ts'
import { freePort } from '../test/engines/port.ts'
import type { HotRequest } from './hot-variant.ts'
import type { Origin } from './origin.ts'
import { canPin, SERVER_CORE } from './processes.ts'

export const hasNginx = nginxThere

/** nginx closes a connection after 1000 requests, which the load generator takes for a failure. */
const KEEP_ALIVE = 'keepalive_requests 1000000000;'
const EVENTS = 'oriel_events gzip=1 buffer=64k flush=5s'
/** As the edge has it. */
const OPEN_FILES = 'open_file_cache max=4096 inactive=60s; open_file_cache_valid 2s;'

export interface BenchEdge extends Edge {
  readonly port: number
  /** The files, with a line in a log of the edge's form for each request. */
  readonly files: number
  /** The files, and nothing else. */
  readonly bareFiles: number
}

/** @param requests whose bodies are files below the same paths. */
export const startBenchEdge = async (origin: Origin, requests: readonly HotRequest[] = []): Promise<BenchEdge> => {
  const root = await mkdtemp(join(tmpdir(), 'oriel-bench-files-'))
  for (const { path, answer } of requests) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), answer.body)
  }
  // Its worker is another user, if we are root.
  await chmod(root, 0o755)
  const [files, bareFiles] = [await freePort(), await freePort()]
  const server = (port: number, log: string) =>
    `server { listen 127.0.0.1:${port}; root ${root}; access_log ${log}; ${OPEN_FILES} }\n`
  const edge = await startNginx({
    workers: '1',
    directives: canPin ? `worker_cpu_affinity ${2 ** SERVER_CORE};` : '',
    origins: [NGINX_DEFAULTS.origins[0]?.replace(/\S+:\d+/, `127.0.0.1:${origin.port}`) ?? ''],
    extra: `${KEEP_ALIVE}\n${server(files, `${join(root, 'files.log.gz')} ${EVENTS}`)}${server(bareFiles, 'off')}`,
  })
  return {
    ...edge,
    port: Number(new URL(edge.url).port),
    files,
    bareFiles,
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]()
      await rm(root, { recursive: true, force: true })
    },
  }
}

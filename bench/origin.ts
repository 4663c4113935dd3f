/** Oriel as its user runs it: `node src/main.ts` as a child process, with a data folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startProcess, stopProcess } from './processes.ts'

const MAIN = new URL('../src/main.ts', import.meta.url)
const ADMIN_KEY = 'bench-admin-key-not-secret'
const START_TIMEOUT_MS = 30_000
/** As `npm start` has them. */
const NODE_FLAGS = ['--max-semi-space-size=8']

export interface OriginOptions {
  readonly core?: number
  readonly env?: Readonly<Record<string, string>>
  /** Kept when given; else one is made and removed. */
  readonly dataFolder?: string
}

export interface Origin extends AsyncDisposable {
  readonly port: number
  readonly pid: number
  readonly address: string
  /** Value of `Authorization` that may do everything. */
  readonly authorization: string
  /** Milliseconds from spawn to the line that says it listens. */
  readonly startMs: number
  /** @returns the hash. @throws Error with the answer when it is not 201. */
  upload(jpeg: Uint8Array): Promise<string>
  /** Asks for a summary, which starts the analytics engine where it sleeps. False where there is none. */
  wakeAnalytics(): Promise<boolean>
}

/** @throws Error with what the server wrote when it ends, or stays silent for half a minute. */
export const startOrigin = async (options: OriginOptions = {}): Promise<Origin> => {
  const dataFolder = options.dataFolder ?? (await mkdtemp(join(tmpdir(), 'oriel-bench-')))
  const begunAt = performance.now()
  const child = startProcess(
    MAIN,
    [],
    {
      core: options.core,
      nodeFlags: NODE_FLAGS,
      env: {
        PORT: '0',
        HOST: '127.0.0.1',
        ORIEL_DATA: dataFolder,
        ORIEL_ADMIN_KEY: ADMIN_KEY,
        ORIEL_LOG_LEVEL: 'warn',
        ...options.env,
      },
    },
    false,
  )
  const output: string[] = []
  const port = await new Promise<number>((resolve, reject) => {
    const fail = (how: string): void => reject(new Error(`Oriel ${how}\n${output.join('')}`))
    const timer = setTimeout(() => fail('does not listen'), START_TIMEOUT_MS)
    const look = (text: Buffer): void => {
      // Enough to tell what went wrong; a server that logs on for minutes must not fill our memory.
      if (output.length < 200) output.push(text.toString())
      const [, found] = /listening on http:\/\/[^:]+:(\d+)/.exec(output.join('')) ?? []
      if (!found) return
      clearTimeout(timer)
      resolve(Number(found))
    }
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    child.once('exit', (code) => fail(`ended with ${code}`))
  })
  const startMs = performance.now() - begunAt
  const address = `http://127.0.0.1:${port}`
  const authorization = `Bearer ${ADMIN_KEY}`

  return {
    port,
    pid: child.pid ?? 0,
    address,
    authorization,
    startMs,
    upload: async (jpeg) => {
      const response = await fetch(`${address}/assets/upload`, {
        method: 'POST',
        headers: { Authorization: authorization, 'Content-Type': 'image/jpeg' },
        body: Buffer.from(jpeg),
      })
      const answer = (await response.json()) as { readonly hash?: string }
      if (response.status !== 201 || !answer.hash) throw new Error(`${response.status}: ${JSON.stringify(answer)}`)
      return answer.hash
    },
    wakeAnalytics: async () => {
      const to = new Date()
      const from = new Date(to.getTime() - 3_600_000)
      const query = new URLSearchParams({ from: from.toISOString(), to: to.toISOString() })
      const response = await fetch(`${address}/analytics/summary?${query}`, {
        headers: { Authorization: authorization },
      })
      await response.arrayBuffer()
      return response.ok
    },
    [Symbol.asyncDispose]: async () => {
      await stopProcess(child)
      if (options.dataFolder === undefined) leftBehind.push(dataFolder)
    },
  }
}

const leftBehind: string[] = []

/**
 * Removes the data folders of all origins so far: at the end of everything, since ext4 passes over inodes that were freed in
 * the last five minutes, one by one, whenever it makes a file. After a removal of some thousands a file took 600 µs instead of
 * 50 (measured), which the next part would have held against Oriel.
 */
export const removeDataFolders = async (): Promise<void> => {
  for (const folder of leftBehind.splice(0)) await rm(folder, { recursive: true, force: true })
}

/** Uploads in turns of eight. @returns the hashes in order. */
export const uploadAll = async (origin: Origin, jpegs: readonly Uint8Array[]): Promise<readonly string[]> => {
  const hashes: string[] = []
  for (let at = 0; at < jpegs.length; at += UPLOADS_AT_ONCE)
    hashes.push(...(await Promise.all(jpegs.slice(at, at + UPLOADS_AT_ONCE).map((jpeg) => origin.upload(jpeg)))))
  return hashes
}
const UPLOADS_AT_ONCE = 8

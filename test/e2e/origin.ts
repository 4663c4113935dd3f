/** A real Oriel process on a free port with its own data folder, for tests that do what users do. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export const ADMIN_KEY = 'e2e-admin-key-0123456789'

export interface Origin extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  readonly data: string
  /** Everything the process has written to its terminal. */
  output(): string
  /** An API call with the admin key. */
  api(path: string, init?: RequestInit): Promise<Response>
  /** Uploads bytes and gives back the asset. */
  upload(bytes: Uint8Array<ArrayBuffer>, type?: string, query?: string): Promise<AssetJson>
  /** Sends a signal and waits for the exit; resolves with its code or signal. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>
}

export interface AssetJson {
  readonly id: string
  readonly hash: string
  readonly bytes: number
  readonly width: number
  readonly height: number
  readonly deduplicated: boolean
  readonly urls: Readonly<Record<string, unknown>>
  readonly srcset: string
  readonly img: string
}

export interface StartOptions {
  /** Reuse a folder, such as after a kill; it is then not removed at the end. */
  readonly data?: string
  readonly env?: Readonly<Record<string, string>>
}

export const startOrigin = async ({ data, env }: StartOptions = {}): Promise<Origin> => {
  const folder = data ?? join(await mkdtemp(join(tmpdir(), 'oriel-e2e-')), 'data')
  const child = spawn(process.execPath, [join(ROOT, 'src/main.ts')], {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH ?? '',
      PORT: '0',
      HOST: '127.0.0.1',
      ORIEL_DATA: folder,
      ORIEL_ADMIN_KEY: ADMIN_KEY,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  const note = (chunk: Buffer) => {
    output += chunk.toString()
  }
  child.stdout.on('data', note)
  child.stderr.on('data', note)
  const url = await listening(child, () => output)
  const api = (path: string, init: RequestInit = {}) =>
    fetch(url + path, { ...init, headers: { Authorization: `Bearer ${ADMIN_KEY}`, ...init.headers } })
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode
    const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
      child.once('exit', (code, by) => resolve(code ?? by))
    })
    child.kill(signal)
    return exited
  }
  return {
    url,
    pid: child.pid ?? 0,
    data: folder,
    output: () => output,
    api,
    async upload(bytes, type = 'image/jpeg', query = '') {
      const response = await api(`/assets/upload${query}`, {
        method: 'POST',
        headers: { 'Content-Type': type },
        body: bytes,
      })
      if (response.status !== 201) throw new Error(`upload answered ${response.status}: ${await response.text()}`)
      return (await response.json()) as AssetJson
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop('SIGKILL')
      // Its children find out that it has died, and write until they do.
      if (!data) await rm(join(folder, '..'), { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

const START_LIMIT_MS = 60_000

const listening = (child: ChildProcess, output: () => string): Promise<string> =>
  new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`not listening after ${START_LIMIT_MS} ms:\n${output()}`)),
      START_LIMIT_MS,
    )
    child.stdout?.on('data', () => {
      const port = /http:\/\/localhost:(\d+)\D/.exec(output())?.[1]
      if (!port) return
      clearTimeout(late)
      resolve(`http://127.0.0.1:${port}`)
    })
    // Not at its exit: what it has said last may be read after that.
    child.once('close', (code) => {
      clearTimeout(late)
      reject(new Error(`exited with ${code} before listening:\n${output()}`))
    })
  })

/** The body, taken to be of the shape that the test then checks. */
export const json = async <T>(response: Response): Promise<T> => (await response.json()) as T

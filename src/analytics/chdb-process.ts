/** One life of the embedded engine's process: started, watched by heartbeat, stopped politely, killed when it does not answer. */
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { getCompileCacheDir } from 'node:module'
import { type FromHost, HOST_USER, type HostFault, type ToHost } from './chdb-messages.ts'

export interface ChdbProcessOptions {
  readonly binding: string
  readonly dir: string
  readonly incoming: string
  /** A process that does not answer for this long is wedged and killed. */
  readonly heartbeatTimeoutMs: number
  readonly startTimeoutMs: number
}

export interface ChdbProcess {
  readonly url: string
  readonly username: string
  readonly password: string
  readonly version: string
  readonly pid: number
  /** Resolves with what is known of the end; never rejects. */
  readonly ended: Promise<string>
  /** Asks it to leave, kills it after `graceMs`. */
  stop(graceMs: number): Promise<void>
}

export type StartFault =
  | HostFault
  /** Another process has the folder open. */
  | 'locked'
  /** Refused for want of space, memory, files or rights: not the folder's fault. */
  | 'hindered'
  /** It ended, or said nothing in time, before it was ready. */
  | 'crashed'
  | 'timeout'

export class ChdbStartError extends Error {
  readonly fault: StartFault
  constructor(fault: StartFault, message: string) {
    super(message)
    this.name = 'ChdbStartError'
    this.fault = fault
  }
}

const HOST_ENTRY = new URL('./chdb-host.ts', import.meta.url)
/** chDB's queries run on these; six at once are allowed, two are left for files. */
const POOL_THREADS = 8
/** Last words kept of its standard error, for the log. */
const MAX_STDERR_CHARS = 2000

/**
 * Aborting `signal` before it is ready kills it; afterwards it has no effect.
 * @throws ChdbStartError when it does not become ready; the process is gone then.
 */
export const startChdb = async (options: ChdbProcessOptions, signal: AbortSignal): Promise<ChdbProcess> => {
  const password = randomBytes(24).toString('base64url')
  const child = fork(HOST_ENTRY, {
    env: { UV_THREADPOOL_SIZE: String(POOL_THREADS), TZ: 'UTC', NODE_COMPILE_CACHE: getCompileCacheDir() ?? '' },
    execArgv: ['--max-old-space-size=512'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-MAX_STDERR_CHARS)
  })
  const tell = (message: ToHost): void => {
    if (child.connected) child.send(message, () => undefined)
  }
  let heardAt = performance.now()
  let deadlineMs = options.startTimeoutMs
  let timedOut = false
  const watchdog = setInterval(
    () => {
      tell({ type: 'ping' })
      if (performance.now() - heardAt < deadlineMs) return
      timedOut = true
      child.kill('SIGKILL')
    },
    Math.min(1000, options.heartbeatTimeoutMs / 4),
  )
  watchdog.unref()
  child.on('error', () => undefined)
  const ended = new Promise<string>((resolve) => {
    child.once('close', (code, signal) => {
      clearInterval(watchdog)
      const silence = timedOut ? ', silent until killed' : ''
      resolve(`${signal === null ? `exit code ${code}` : signal}${silence}${stderr && `: ${stderr.trim()}`}`)
    })
  })
  const firstWord = new Promise<FromHost>((resolve) => {
    child.on('message', (message: FromHost) => {
      // Opening the folder blocks the process, so until it is ready the longer deadline holds, from the start.
      if (message.type !== 'pong') resolve(message)
      if (deadlineMs === options.heartbeatTimeoutMs || message.type === 'ready') heardAt = performance.now()
      if (message.type === 'ready') deadlineMs = options.heartbeatTimeoutMs
    })
  })
  const kill = () => child.kill('SIGKILL')
  signal.addEventListener('abort', kill)
  const { binding, dir, incoming } = options
  tell({ type: 'open', binding, dir, incoming, password })
  const first = await Promise.race([firstWord, ended])
  signal.removeEventListener('abort', kill)
  if (typeof first === 'string') throw new ChdbStartError(timedOut ? 'timeout' : 'crashed', first)
  if (first.type === 'failed') {
    await ended
    throw new ChdbStartError(
      first.fault === 'refused' ? faultOf(stderr) : first.fault,
      `${first.message.trim()}: ${stderr.trim()}`,
    )
  }
  const { port, version } = first.type === 'ready' ? first : { port: 0, version: '' }
  return {
    url: `http://127.0.0.1:${port}`,
    username: HOST_USER,
    password,
    version,
    pid: child.pid ?? 0,
    ended,
    stop: async (graceMs) => {
      tell({ type: 'stop' })
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      await ended
      clearTimeout(timer)
    },
  }
}

const faultOf = (stderr: string): StartFault => {
  if (/Code: 76\b|Cannot lock file/.test(stderr)) return 'locked'
  return /No space left|NOT_ENOUGH_SPACE|Permission denied|Cannot allocate|Too many open files|Read-only file system/i.test(
    stderr,
  )
    ? 'hindered'
    : 'refused'
}

/** A real `redis-server` on a free loopback port in a folder of its own, that a test can stop, hang and start again. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { answers, freePort } from './port.ts'

export interface RedisServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** SIGSTOP: connections stay open and nothing answers. */
  hang(): void
  resume(): void
  /** SIGKILL; everything in it is lost. */
  kill(): Promise<void>
  /** Again on the same port, empty. */
  start(): Promise<void>
}

/** Whether the suite can run here; where not, says so in one line. With CI=true a missing engine is a fault. */
export const redisIsHere = (): boolean => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    if (process.env.CI === 'true') throw new Error('redis-server is missing: apt-get install redis-server')
    process.stderr.write('left out: tests against Redis; to run them: apt-get install redis-server\n')
    return false
  }
}

/** @param options further arguments of redis-server, such as `--requirepass x`. */
export const startRedis = async (...options: readonly string[]): Promise<RedisServer> => {
  const folder = await mkdtemp(join(tmpdir(), 'oriel-redis-'))
  const port = await freePort()
  let child: ChildProcess | undefined
  const kill = async () => {
    const dying = child
    child = undefined
    if (!dying || dying.exitCode !== null || dying.signalCode !== null) return
    const exited = once(dying, 'exit')
    dying.kill('SIGKILL')
    await exited
  }
  const start = async () => {
    const place = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder]
    child = spawn('redis-server', [...place, '--save', '', '--appendonly', 'no', ...options], { stdio: 'ignore' })
    await answers('redis-server', port, child)
  }
  await start()
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    hang: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    kill,
    start,
    [Symbol.asyncDispose]: async () => {
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Child processes of the benchmark: started on a core of their own where `taskset` is there, spoken to over IPC, ended by id. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'

/** The two cores that hot tests keep apart. */
export const SERVER_CORE = 0
export const LOAD_CORE = 1

/** util-linux' taskset, and a second core to pin to. Without them the kernel places processes, and ratios get noisier. */
export const canPin = availableParallelism() > 1 && spawnSync('taskset', ['--version']).status === 0

export interface StartOptions {
  readonly core?: number | undefined
  readonly env?: Readonly<Record<string, string>>
  readonly nodeFlags?: readonly string[]
}

/** Starts a TypeScript file with this Node binary. `core` is a wish. */
export const startProcess = (file: URL, args: readonly string[], options: StartOptions, ipc: boolean): ChildProcess => {
  const words = [process.execPath, ...(options.nodeFlags ?? []), file.pathname, ...args]
  const pinned = options.core !== undefined && canPin ? ['taskset', '-c', String(options.core), ...words] : words
  const [command = process.execPath, ...rest] = pinned
  const child = spawn(command, rest, {
    env: { PATH: process.env.PATH, ...options.env },
    stdio: ['ignore', ipc ? 'inherit' : 'pipe', ipc ? 'inherit' : 'pipe', ...(ipc ? (['ipc'] as const) : [])],
    serialization: 'advanced',
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** An interrupted benchmark leaves no server behind. SIGKILL: nobody is left to wait for a polite end. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/** SIGTERM, then SIGKILL after ten seconds. Resolves when the process is gone. */
export const stopProcess = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await gone
  clearTimeout(force)
}

export interface Peer<Question, Answer> extends AsyncDisposable {
  readonly pid: number
  /** Sends one message and waits for the next answer; one question at a time. */
  ask(question: Question): Promise<Answer>
}

/** A child that answers each message with one message. @throws (from `ask`) Error when the child ends first. */
export const startPeer = <Question extends object, Answer>(
  file: URL,
  options: StartOptions = {},
): Peer<Question, Answer> => {
  const child = startProcess(file, [], options, true)
  const exited = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${file.pathname} ended (${signal ?? code}) without an answer`)
  })
  exited.catch(() => undefined)
  return {
    pid: child.pid ?? 0,
    ask: async (question) => {
      const answered = once(child, 'message')
      child.send(question)
      const [answer] = await Promise.race([answered, exited])
      return answer as Answer
    },
    [Symbol.asyncDispose]: () => stopProcess(child),
  }
}

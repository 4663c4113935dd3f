/** A real `clamd` on a free loopback port, with one signature of our own: those of ClamAV are 300 MB to fetch and 1 GB in memory. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EICAR } from './clamd-double.ts'
import { answers, freePort } from './port.ts'

/** Whether the suite can run here; where not, says so in one line. With CI=true a missing engine is a fault. */
export const clamdIsHere = (): boolean => {
  try {
    execFileSync('clamd', ['--version'], { stdio: 'ignore', env: { PATH: `${process.env.PATH}:/usr/sbin` } })
    return true
  } catch {
    if (process.env.CI === 'true') throw new Error('clamd is missing: apt-get install clamav-daemon')
    process.stderr.write('left out: tests against ClamAV; to run them: apt-get install clamav-daemon\n')
    return false
  }
}

/** What it calls the string of EICAR. */
export const SIGNATURE = 'Oriel.Eicar.UNOFFICIAL'
export const MAX_STREAM_BYTES = 2 * 1024 * 1024

export interface Clamd extends AsyncDisposable {
  readonly port: number
}

export const startClamd = async (): Promise<Clamd> => {
  const folder = await mkdtemp(join(tmpdir(), 'oriel-clamd-'))
  const port = await freePort()
  await mkdir(join(folder, 'db'))
  // An extended signature (docs.clamav.net/manual/Signatures/ExtendedSignatures.html): any type of file, at any offset.
  await writeFile(join(folder, 'db/oriel.ndb'), `Oriel.Eicar:0:*:${Buffer.from(EICAR).toString('hex')}\n`)
  const lines = [
    `TCPSocket ${port}`,
    'TCPAddr 127.0.0.1',
    `DatabaseDirectory ${join(folder, 'db')}`,
    `TemporaryDirectory ${folder}`,
    `StreamMaxLength ${MAX_STREAM_BYTES}`,
    'Foreground yes',
  ]
  await writeFile(join(folder, 'clamd.conf'), `${lines.join('\n')}\n`)
  const env = { PATH: `${process.env.PATH}:/usr/sbin` }
  const child = spawn('clamd', ['-c', join(folder, 'clamd.conf')], { stdio: 'ignore', env })
  await answers('clamd', port, child)
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit')
        child.kill('SIGKILL')
        await exited
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

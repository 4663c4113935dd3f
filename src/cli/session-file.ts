/** Where an interrupted upload of a large file goes on: one small file for each, under the user's state folder. */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { reasonOf } from './file-part.ts'
import type { Fingerprint } from './fingerprint.ts'
import type { Details } from './plan.ts'
import type { World } from './world.ts'

const KeptSchema = z.object({ server: z.string(), sha256: z.string(), session: z.string() })

export interface SessionFiles {
  /** The session that was begun for these bytes and details; undefined for none, or where the file cannot be read. */
  find(print: Fingerprint, details: Details): Promise<string | undefined>
  /** Written whole or not at all. That it cannot be is told, and ends nothing: after an interruption the file is sent anew. */
  keep(print: Fingerprint, details: Details, session: string): Promise<void>
  forget(print: Fingerprint, details: Details): Promise<void>
}

/** XDG Base Directory Specification: `$XDG_STATE_HOME`, else `~/.local/state`. */
export const stateFolder = (env: World['env']): string =>
  join(env.XDG_STATE_HOME || join(env.HOME || homedir(), '.local', 'state'), 'oriel', 'uploads')

/** @param onFault told, once, why the folder cannot be written to. */
export const createSessionFiles = (folder: string, server: string, onFault: (why: string) => void): SessionFiles => {
  let told = false
  const fileOf = ({ sha256 }: Fingerprint, { filename, tags, visibility }: Details): string => {
    const text = JSON.stringify([server, sha256, filename, tags, visibility ?? null])
    return join(folder, `${createHash('sha256').update(text).digest('hex')}.json`)
  }
  return {
    find: async (print, details) => {
      const text = await readFile(fileOf(print, details), 'utf8').catch(() => '{}')
      const kept = KeptSchema.safeParse(parseJson(text))
      return kept.success && kept.data.sha256 === print.sha256 ? kept.data.session : undefined
    },
    keep: async (print, details, session) => {
      const file = fileOf(print, details)
      const draft = `${file}.${randomUUID()}`
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 })
        await writeFile(draft, JSON.stringify({ server, sha256: print.sha256, session }), { mode: 0o600 })
        await rename(draft, file)
      } catch (error) {
        await rm(draft, { force: true }).catch(() => undefined)
        if (!told) onFault(reasonOf(error))
        told = true
      }
    },
    // One that stays is of a session that has ended, which the server says when it is asked.
    forget: (print, details) => rm(fileOf(print, details), { force: true }).catch(() => undefined),
  }
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The options of commands that walk folders. */
import { stat } from 'node:fs/promises'
import type { Options } from './arguments.ts'
import { usageFault } from './exit.ts'
import type { WalkOptions } from './walk.ts'

export const WALK_OPTIONS = {
  recursive: { type: 'boolean', short: 'r', note: 'folders with all that is in them' },
  hidden: { type: 'boolean', note: 'also what begins with a dot' },
  include: {
    type: 'string',
    multiple: true,
    value: '<glob>',
    note: "only files of folders that match, such as '*.jpg'",
  },
  exclude: { type: 'string', multiple: true, value: '<glob>', note: 'not files and folders that match' },
} as const satisfies Options

export const walkOptions = ({ recursive, hidden, include, exclude }: WalkOptions): WalkOptions => ({
  recursive,
  hidden,
  include,
  exclude,
})

/** @throws Stop `usage` for a folder without `--recursive`: half of it would look like all of it. */
export const assertFolders = async (paths: readonly string[], { recursive }: WalkOptions): Promise<void> => {
  if (recursive) return
  for (const path of paths) {
    const stats = await stat(path).catch(() => undefined)
    if (stats?.isDirectory()) throw usageFault(`${path} is a folder: add --recursive`)
  }
}

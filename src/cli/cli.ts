/** `oriel <command>`: finds the command, runs it, and turns how it ended into an exit code. */
import type { Command } from './arguments.ts'
import { EXIT, Stop, usageFault } from './exit.ts'
import { printable, type World } from './world.ts'

/** Each is loaded when it is asked for. */
const COMMANDS: Readonly<Record<string, { readonly about: string; readonly load: () => Promise<Command> }>> = {
  upload: { about: 'upload files and folders', load: async () => (await import('./upload.ts')).upload },
  verify: { about: 'compare local files with the server', load: async () => (await import('./verify.ts')).verify },
  keys: { about: 'list, make and revoke API keys', load: async () => (await import('./keys.ts')).keys },
  sign: { about: 'sign an image URL', load: async () => (await import('./sign.ts')).sign },
  gc: { about: 'collect what is past its grace', load: async () => (await import('./maintenance.ts')).gc },
  reconcile: {
    about: 'compare the store with the rows, and repair',
    load: async () => (await import('./maintenance.ts')).reconcile,
  },
}

const USAGE = [
  'Usage: oriel <command> [options]',
  '',
  ...Object.entries(COMMANDS).map(([name, { about }]) => `  ${name.padEnd(10)}${about}`),
  '',
  'oriel <command> --help tells its options. Start the server with `npm start`.',
  '',
].join('\n')

/** @param argv without the program's own name. @returns the exit code; what went wrong has been said on standard error. */
export const runCli = async (argv: readonly string[], world: World): Promise<number> => {
  try {
    const [name, ...rest] = argv
    if (name === '--help' || name === '-h' || name === 'help') {
      world.out(USAGE)
      return EXIT.done
    }
    if (name === undefined) {
      world.err(USAGE)
      return EXIT.usage
    }
    const known = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
    if (!known) throw usageFault(`no command ${JSON.stringify(name)}; there are ${Object.keys(COMMANDS).join(', ')}`)
    return await (await known.load()).run(rest, world)
  } catch (error) {
    const stop = world.signal.aborted && !(error instanceof Stop) ? world.signal.reason : error
    if (stop instanceof Stop) {
      world.err(`oriel: ${printable(stop.message)}\n`)
      return stop.code
    }
    world.err(`oriel: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    return EXIT.failed
  }
}

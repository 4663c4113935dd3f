/** A single call of an administrator's command: its answer as it should be, or the end of the run. */
import type { z } from 'zod'
import type { Call, Client } from './client.ts'
import { EXIT, Stop } from './exit.ts'
import { problemOf } from './retry.ts'
import type { World } from './world.ts'

/**
 * Not tried again: making a key twice makes two.
 * @param schema of the answer; undefined where none is wanted.
 * @throws Stop `unreachable` without an answer, and where the key is refused; `failed` for any other refusal.
 */
export const ask = async <Schema extends z.ZodType | undefined>(
  client: Client,
  call: Call,
  schema: Schema,
  { signal }: Pick<World, 'signal'>,
): Promise<Schema extends z.ZodType ? z.infer<Schema> : undefined> => {
  const answer = await client.call(call, signal).catch((cause: unknown) => {
    signal.throwIfAborted()
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new Stop(EXIT.unreachable, `cannot reach ${client.url}: ${why}`, { cause })
  })
  if (answer.status === 401 || answer.status === 403) throw new Stop(EXIT.unreachable, problemOf(answer))
  if (answer.status >= 300) throw new Stop(EXIT.failed, problemOf(answer))
  const parsed = schema?.safeParse(answer.body)
  if (parsed && !parsed.success)
    throw new Stop(EXIT.failed, `${client.url} answered ${call.method} ${call.path} with something else than expected`)
  return parsed?.data as Schema extends z.ZodType ? z.infer<Schema> : undefined
}

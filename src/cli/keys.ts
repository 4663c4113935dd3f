/** `oriel keys`: the server's API keys. Needs its admin key. */
import { z } from 'zod'
import { defineCommand, type Options } from './arguments.ts'
import { ask } from './ask.ts'
import { createClient } from './client.ts'
import { EXIT, usageFault } from './exit.ts'
import { chooseServer, KEY_NOTE, SERVER_OPTIONS } from './server.ts'
import { printable } from './world.ts'

const OPTIONS = {
  owner: { type: 'string', value: '<owner>', note: 'create: whose assets the key is for' },
  name: { type: 'string', value: '<name>', note: 'create: what you will know the key by' },
  ...SERVER_OPTIONS,
} as const satisfies Options

const KeySchema = z.object({
  id: z.string(),
  owner: z.string(),
  name: z.string(),
  created_at: z.string(),
  revoked_at: z.string().nullable(),
})

export const keys = defineCommand({
  name: 'keys',
  summary: 'Lists, makes and revokes API keys.',
  operands: 'list | create --owner <owner> --name <name> | revoke <id>',
  count: [1, 2],
  options: OPTIONS,
  notes: [
    '`create` prints the key, this once, and nothing else on standard output: oriel keys create … > key-file',
    KEY_NOTE,
  ],
  run: async ({ values, operands: [action, id] }, world) => {
    const { owner, name, json } = values
    if (action !== 'list' && action !== 'create' && action !== 'revoke')
      throw usageFault(`keys: list, create or revoke, not ${JSON.stringify(action)}`)
    if ((action === 'revoke') !== (id !== undefined))
      throw usageFault('keys: `revoke` takes the id of a key, the others none')
    const whole = action === 'create' ? owner && name : owner === undefined && name === undefined
    if (!whole) throw usageFault('keys: `create` takes --owner and --name, the others neither')
    using client = createClient(chooseServer(values, world), 1)
    if (action === 'revoke') {
      await ask(client, { method: 'DELETE', path: `/internal/keys/${encodeURIComponent(id ?? '')}` }, undefined, world)
      if (json) world.out(`${JSON.stringify({ id, revoked: true })}\n`)
    } else if (action === 'create') {
      const schema = KeySchema.extend({ key: z.string() })
      const made = await ask(client, { method: 'POST', path: '/internal/keys', json: { owner, name } }, schema, world)
      world.out(json ? `${JSON.stringify(made)}\n` : `${made.key}\n`)
      if (!json) world.err(`made ${made.id} for ${made.owner}; the key is shown this once\n`)
    } else {
      const schema = z.object({ items: z.array(KeySchema) })
      const { items } = await ask(client, { method: 'GET', path: '/internal/keys' }, schema, world)
      for (const item of items)
        world.out(
          json
            ? `${JSON.stringify(item)}\n`
            : `${item.id}  ${item.created_at}  ${item.revoked_at ? 'revoked' : 'live   '}  ${item.owner}  ${printable(item.name)}\n`,
        )
    }
    return EXIT.done
  },
})

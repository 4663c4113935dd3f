import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { prepareInsert, prepareLookUp, prepareQuery } from '../../src/metadata/prepared.ts'
import { openSqliteMetadata } from '../../src/metadata/sqlite.ts'
import { temporaryFolder } from '../fixtures/write-path.ts'

const open = async () => {
  const folder = await temporaryFolder()
  const metadata = await openSqliteMetadata(join(folder.path, 'oriel.db'))
  return {
    metadata,
    [Symbol.asyncDispose]: async () => {
      await metadata[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const key = (id: string) => ({ hash: `hash of ${id}`, id, owner: 'a', name: 'n', created_at: 1, revoked_at: null })
const insertKeys = prepareInsert((queries, rows: readonly ReturnType<typeof key>[]) =>
  queries.insertInto('api_keys').values([...rows]),
)
const keysOf = prepareQuery((queries, { owner }: { readonly owner: string }) =>
  queries.selectFrom('api_keys').select('id').where('owner', '=', owner).orderBy('id'),
)

const lookUp = prepareLookUp((queries, ids: readonly string[]) =>
  queries.selectFrom('api_keys').select('id').where('id', 'in', ids).orderBy('id'),
)

describe('an insert that nobody waits for', () => {
  it('is there after the commit, and seen by what follows in its transaction', async () => {
    await using opened = await open()
    const { metadata } = opened
    const seen = await metadata.transaction(async (t) => {
      await insertKeys(t, [key('b'), key('a')])
      await insertKeys(t, [key('c')])
      await insertKeys(t, [])
      return keysOf(t, { owner: 'a' })
    })
    expect(seen.map(({ id }) => id)).toEqual(['a', 'b', 'c'])
    expect(await keysOf(metadata.read, { owner: 'a' })).toEqual(seen)
    expect(await keysOf(metadata.read, { owner: 'b' })).toEqual([])
  })

  it('fails the commit when it fails, with nothing of its transaction left, and the next one is sound', async () => {
    await using opened = await open()
    const { metadata } = opened
    const failing = metadata.transaction(async (t) => {
      await insertKeys(t, [key('a')])
      await insertKeys(t, [key('a')])
      await insertKeys(t, [key('b')])
    })
    await expect(failing).rejects.toMatchObject({ kind: 'internal' })
    expect(await keysOf(metadata.read, { owner: 'a' })).toEqual([])
    await metadata.transaction((t) => insertKeys(t, [key('c')]))
    expect(await keysOf(metadata.read, { owner: 'a' })).toEqual([{ id: 'c' }])
  })

  it('fails what is waited for after it', async () => {
    await using opened = await open()
    const failing = opened.metadata.transaction(async (t) => {
      await insertKeys(t, [key('a'), key('a')])
      return keysOf(t, { owner: 'a' })
    })
    await expect(failing).rejects.toMatchObject({ kind: 'internal' })
    expect(await keysOf(opened.metadata.read, { owner: 'a' })).toEqual([])
  })

  it('must bind its rows’ values and nothing else', async () => {
    await using opened = await open()
    const wrong = prepareInsert((queries, rows: readonly { id: string }[]) =>
      queries.insertInto('api_keys').values(rows.map(({ id }) => key(id))),
    )
    await expect(opened.metadata.transaction((t) => wrong(t, [{ id: 'a' }]))).rejects.toThrow('binds other parameters')
  })
})

describe('a look-up in a transaction', () => {
  it('sees what was committed before, and what its own transaction wrote', async () => {
    await using opened = await open()
    const { metadata } = opened
    const ids = Array.from({ length: 40 }, (_, i) => `key ${i}`)
    const seen = await Promise.all(
      ids.map((id) =>
        metadata.transaction(async (t) => {
          const before = await lookUp(t, ids)
          await insertKeys(t, [key(id)])
          return [before.length, (await lookUp(t, ids)).length]
        }),
      ),
    )
    expect(seen).toEqual(ids.map((_, i) => [i, i + 1]))
  })

  it('does not see what a transaction before it took back', async () => {
    await using opened = await open()
    const { metadata } = opened
    const failing = metadata.transaction(async (t) => {
      await insertKeys(t, [key('a')])
      throw new Error('no')
    })
    const next = metadata.transaction((t) => lookUp(t, ['a']))
    await expect(failing).rejects.toThrow('no')
    expect(await next).toEqual([])
  })

  it('must bind its keys and nothing else', async () => {
    await using opened = await open()
    const wrong = prepareLookUp((queries, ids: readonly string[]) =>
      queries.selectFrom('api_keys').select('id').where('id', 'in', ids).limit(3),
    )
    await expect(wrong(opened.metadata.read, ['a'])).rejects.toThrow('binds other parameters')
  })
})

/**
 * Queries whose text never changes, built once: Kysely's tree and its text cost 20 µs and more for each, the statement itself a few.
 * What is kept belongs to an engine's adapter, since each engine has its own words for the same query.
 */
import type { Compilable, CompiledQuery } from 'kysely'
import type { Queries } from './database.ts'

/**
 * A statement of a transaction that nobody waits for: the next one may be sent before its answer is there. Should it fail, every later
 * one does, and the commit. For an engine that does not know this it is a statement like any other.
 */
export interface Deferrable extends CompiledQuery {
  readonly deferred?: true
}

/**
 * A point look-up. Before the first write of a transaction an engine that lets nobody else write may answer it from what was committed,
 * without a way to its writer. For others it is a statement like any other.
 */
export interface LookUp extends CompiledQuery {
  readonly lookUp?: true
}

const engineOf = (queries: Queries): object => queries.getExecutor().adapter

const keepBy = <Key, Value>() => {
  const kept = new WeakMap<object, Map<Key, Value>>()
  return (engine: object, key: Key, make: () => Value): Value => {
    const values = kept.get(engine) ?? new Map<Key, Value>()
    kept.set(engine, values)
    const value = values.get(key) ?? make()
    values.set(key, value)
    return value
  }
}

/** Stands for the values while a query is built: a symbol for each name. Kysely only hands them through to the statement's parameters. */
const HOLES: object = new Proxy({}, { get: (_, name) => Symbol(String(name)) })

/** A query of named values, beside constants. @returns the rows for the values. */
export const prepareQuery = <Values extends object, Row>(
  build: (queries: Queries, values: Values) => Compilable<Row>,
) => {
  const keep = keepBy<'text', CompiledQuery<Row>>()
  return async (queries: Queries, values: Values): Promise<readonly Row[]> => {
    const query = keep(engineOf(queries), 'text', () => build(queries, HOLES as Values).compile())
    const parameters = query.parameters.map((value) =>
      typeof value === 'symbol' ? values[value.description as keyof Values] : value,
    )
    const { rows } = await queries.executeQuery<Row>({ ...query, parameters })
    return rows
  }
}

/**
 * An insert of many rows, whose values are its only parameters: those of the first row in the order of its properties, then the
 * next row's. Texts are kept by the number of rows: as many as the largest batch has (`ingest/commit`: 64).
 * @throws Error when the first of a size shows that it has other parameters.
 */
export const prepareInsert = <Row extends object>(
  build: (queries: Queries, rows: readonly Row[]) => Compilable,
): ((queries: Queries, rows: readonly Row[]) => Promise<void>) => {
  const keep = keepBy<number, CompiledQuery>()
  return async (queries, rows) => {
    if (rows.length === 0) return
    const parameters = rows.flatMap((row): unknown[] => Object.values(row))
    const query = keep(engineOf(queries), rows.length, () => compileFor(build(queries, rows), parameters))
    const statement: Deferrable = { ...query, parameters, deferred: true }
    await queries.executeQuery(statement)
  }
}

/** A look-up of many keys by an index, which are its only parameters. Kept and thrown as `prepareInsert`. */
export const prepareLookUp = <Key, Row>(
  build: (queries: Queries, keys: readonly Key[]) => Compilable<Row>,
): ((queries: Queries, keys: readonly Key[]) => Promise<readonly Row[]>) => {
  const keep = keepBy<number, CompiledQuery<Row>>()
  return async (queries, keys) => {
    const query = keep(engineOf(queries), keys.length, () => compileFor(build(queries, keys), keys))
    const statement: LookUp = { ...query, parameters: keys, lookUp: true }
    const { rows } = await queries.executeQuery<Row>(statement)
    return rows
  }
}

const compileFor = <Row>(query: Compilable<Row>, parameters: readonly unknown[]): CompiledQuery<Row> => {
  const compiled = query.compile()
  if (
    compiled.parameters.length !== parameters.length ||
    compiled.parameters.some((value, i) => value !== parameters[i])
  )
    throw new Error(`a statement binds other parameters than it is given: ${compiled.sql.slice(0, 100)}`)
  return compiled
}

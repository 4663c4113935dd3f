/** Where a walk that takes longer than a process lives stands, and what it has found so far. */
import type { Queries } from './database.ts'

export interface Progress<Report> {
  /** The last digest that is behind it; '' before the first. */
  readonly position: string
  readonly report: Report
  readonly at: Date
}

/** @param name of the walk; what it keeps as its report is its own. */
export const findProgress = async <Report>(queries: Queries, name: string): Promise<Progress<Report> | undefined> => {
  const row = await queries.selectFrom('progress').selectAll().where('name', '=', name).executeTakeFirst()
  return row && { position: row.position, report: JSON.parse(row.report) as Report, at: new Date(row.at) }
}

export const saveProgress = async (
  transaction: Queries,
  name: string,
  { position, report, at }: Progress<unknown>,
): Promise<void> => {
  const row = { position, report: JSON.stringify(report), at: at.getTime() }
  await transaction
    .insertInto('progress')
    .values({ name, ...row })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(row))
    .execute()
}

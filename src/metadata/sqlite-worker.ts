/** A connection in a thread of its own: commits wait for the disk and listings scan here, while the event loop serves images. */
import { parentPort, workerData } from 'node:worker_threads'
import { BEGIN, type ExecuteResult, openSqliteConnection, ROLLBACK } from './sqlite-connection.ts'
import { migrateSqlite } from './sqlite-migrations.ts'

/** What the thread is started with. */
export interface WorkerOptions {
  readonly path: string
  readonly readOnly: boolean
}

export interface Statement {
  readonly sql: string
  readonly parameters: readonly unknown[]
}

export type Answer =
  | { readonly result: ExecuteResult }
  | { readonly error: { readonly message: string; readonly errcode: number } }

// Only `worker-client.ts` starts this file.
const options = workerData as WorkerOptions
const connection = openSqliteConnection(options.path, options.readOnly)
if (!options.readOnly) {
  migrateSqlite(connection.database)
  // A statement of many rows keeps a journal to undo itself: in a temporary file it was a quarter of this thread's time. At most a few
  // hundred pages; set only after the migrations, whose sorting of whole tables belongs on the disk.
  connection.database.exec('pragma temp_store = memory')
}

const reply = (message: readonly Answer[] | 'ready' | 'closed') => parentPort?.postMessage(message)

/**
 * Why the transaction under way cannot be committed. Until its rollback every statement fails alike: those that were sent before the
 * first answer must not run without a transaction, which a full disk may have ended.
 */
let broken: Answer | undefined
let inTransaction = false

const answer = ({ sql, parameters }: Statement): Answer => {
  if (sql === ROLLBACK) {
    ;[broken, inTransaction] = [undefined, false]
    if (!connection.database.isTransaction) return { result: { rows: [], changes: 0 } }
  }
  if (broken) return broken
  if (sql === BEGIN) inTransaction = true
  try {
    const { rows, changes } = connection.execute(sql, parameters)
    if (!connection.database.isTransaction) inTransaction = false
    return { result: { rows, changes } }
  } catch (error) {
    const errcode = error instanceof Error && 'errcode' in error ? Number(error.errcode) : 0
    const failed = { error: { message: String(error), errcode } }
    if (inTransaction) broken = failed
    return failed
  }
}

parentPort?.on('message', (statements: readonly Statement[] | 'close') => {
  if (statements === 'close') {
    connection.database.close()
    reply('closed')
    parentPort?.close()
    return
  }
  reply(statements.map(answer))
})
reply('ready')

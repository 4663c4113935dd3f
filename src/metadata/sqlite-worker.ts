/** A connection in a thread of its own: commits wait for the disk and listings scan here, while the event loop serves images. */
import { parentPort, workerData } from 'node:worker_threads'
import { type ExecuteResult, openSqliteConnection } from './sqlite-connection.ts'
import { migrateSqlite } from './sqlite-migrations.ts'

/** What the thread is started with. */
export interface WorkerOptions {
  readonly path: string
  readonly readOnly: boolean
}

export interface WorkerRequest {
  readonly id: number
  readonly sql: string
  readonly parameters: readonly unknown[]
}

export type WorkerReply =
  | { readonly id: number; readonly result: ExecuteResult }
  | { readonly id: number; readonly error: { readonly message: string; readonly errcode: number } }

// Only `worker-client.ts` starts this file.
const options = workerData as WorkerOptions
const connection = openSqliteConnection(options.path, options.readOnly)
if (!options.readOnly) migrateSqlite(connection.database)

const reply = (message: WorkerReply | 'ready' | 'closed') => parentPort?.postMessage(message)

parentPort?.on('message', (request: WorkerRequest | 'close') => {
  if (request === 'close') {
    connection.database.close()
    reply('closed')
    parentPort?.close()
    return
  }
  try {
    const { rows, changes } = connection.execute(request.sql, request.parameters)
    reply({ id: request.id, result: { rows, changes } })
  } catch (error) {
    const errcode = error instanceof Error && 'errcode' in error ? Number(error.errcode) : 0
    reply({ id: request.id, error: { message: String(error), errcode } })
  }
})
reply('ready')

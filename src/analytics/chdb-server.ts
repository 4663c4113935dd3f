/** The embedded engine behind ClickHouse's HTTP protocol on a loopback port: enough of it for `@clickhouse/client` unchanged. */
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Session } from 'chdb'
import { HOST_USER } from './chdb-messages.ts'
import { BadParameter, type EngineRequest, insertFromFile, quoteText, readRequest } from './chdb-request.ts'

export interface ChdbServerOptions {
  /** A session costs ~0.1 ms and keeps one request's settings from leaking into the next. */
  readonly openSession: () => Session
  readonly incoming: string
  readonly password: string
}

/** Queries beyond this are refused at once: each holds one of the process's eight pool threads, and files need some too. */
const MAX_RUNNING = 6
const MAX_CONNECTIONS = 32
/** Longest SQL text in a body. Ours is under 10 KB. */
const MAX_SQL_BYTES = 2 ** 20

/** Not listening yet. A client that hangs up gets its query killed. */
export const createChdbServer = (options: ChdbServerOptions): Server => {
  const secret = digest(`Basic ${Buffer.from(`${HOST_USER}:${options.password}`).toString('base64')}`)
  let running = 0
  const server = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => fail(response, error))
  })
  server.maxConnections = MAX_CONNECTIONS
  // Longer than the client's own 2.5 s, so that it is never the server that closes a connection about to be used.
  server.keepAliveTimeout = 10_000
  // An 8 MiB insert on a busy machine must not be cut off by the default for slow senders.
  server.requestTimeout = 0

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://engine')
    if (pathname === '/ping') return void response.end('Ok.\n')
    if (!timingSafeEqual(digest(request.headers.authorization ?? ''), secret))
      throw new Error('Code: 516. DB::Exception: Authentication failed (AUTHENTICATION_FAILED)')
    if (running >= MAX_RUNNING)
      throw new Error('Code: 202. DB::Exception: Too many simultaneous queries (TOO_MANY_SIMULTANEOUS_QUERIES)')
    running++
    try {
      const tag = randomUUID()
      await serve(options, readRequest(searchParams, tag), tag, request, response)
    } finally {
      running--
    }
  }
  return server
}

const serve = async (
  options: ChdbServerOptions,
  asked: EngineRequest,
  tag: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const file = asked.takesData ? join(options.incoming, randomUUID()) : undefined
  const session = options.openSession()
  const kill = () => {
    if (!response.writableFinished) void killTagged(options.openSession, tag)
  }
  try {
    const sql = file === undefined ? `${asked.sql}\n${await readText(request)}` : insertFromFile(asked.sql, file)
    if (file !== undefined) await pipeline(request, createWriteStream(file))
    response.once('close', kill)
    for (const statement of asked.settings) await session.queryAsync(statement)
    const result = await session.queryAsync(sql, { format: asked.format })
    const rows = String(result.rowsRead)
    const summary = { read_rows: rows, read_bytes: String(result.bytesRead), written_rows: file ? rows : '0' }
    response.writeHead(200, {
      'Content-Type': 'text/plain; charset=UTF-8',
      'X-ClickHouse-Format': asked.format,
      'X-ClickHouse-Summary': JSON.stringify(summary),
    })
    response.end(result.bytes())
  } finally {
    session.close()
    if (file !== undefined) await rm(file, { force: true })
  }
}

const killTagged = async (openSession: () => Session, tag: string): Promise<void> => {
  const session = openSession()
  try {
    await session.queryAsync(
      `KILL QUERY WHERE Settings['log_comment'] = ${quoteText(tag)} AND query NOT LIKE 'KILL QUERY%' ASYNC`,
    )
  } catch {
    // It ended by itself in the meantime, or will at its max_execution_time.
  } finally {
    session.close()
  }
}

const fail = (response: ServerResponse, error: unknown): void => {
  if (response.headersSent) return void response.destroy()
  const message = error instanceof Error ? error.message.trim() : String(error)
  const code = /Code: (\d+)/.exec(message)?.[1] ?? '1002'
  const status = code === '516' ? 403 : error instanceof BadParameter ? 400 : code === '202' ? 503 : 500
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=UTF-8', 'X-ClickHouse-Exception-Code': code })
  response.end(`${message}\n`)
}

const readText = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    const part = Buffer.from(chunk)
    bytes += part.length
    if (bytes > MAX_SQL_BYTES) throw new Error(`Code: 62. DB::Exception: query longer than ${MAX_SQL_BYTES} bytes`)
    chunks.push(part)
  }
  return Buffer.concat(chunks).toString('utf8')
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

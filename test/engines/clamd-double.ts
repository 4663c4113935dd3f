/**
 * A double of clamd that speaks its protocol over TCP (INSTREAM, clamd(8)), for what the real one (`clamd.ts`) does not do when asked: hang, hang
 * up, talk nonsense. It finds EICAR's test string, as every scanner does.
 */

import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'

/** eicar.org: by agreement every scanner takes it for a virus. In two parts, so that no scanner takes this file for one. */
export const EICAR = `X5O!P%@AP[4\\PZX54(P^)7CC)7}$${'EICAR-STANDARD-ANTIVIRUS-TEST-FILE!'}$H+H*`

export type ClamdMood = 'scans' | 'hangs' | 'hangs up' | 'talks nonsense' | 'never stops talking'

export interface ClamdDouble extends AsyncDisposable {
  readonly port: number
  mood: ClamdMood
  /** As clamd's StreamMaxLength. */
  maxBytes: number
  readonly scanned: number
  /** The most that was in one chunk. */
  readonly largestChunk: number
}

export const startClamdDouble = async (): Promise<ClamdDouble> => {
  const sockets = new Set<Socket>()
  const state = { mood: 'scans' as ClamdMood, maxBytes: 25_000_000, scanned: 0, largestChunk: 0 }
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    void talk(socket, state).catch(() => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(state, {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

const talk = async (
  socket: Socket,
  state: { mood: ClamdMood; maxBytes: number; scanned: number; largestChunk: number },
): Promise<void> => {
  if (state.mood === 'hangs up') return void socket.destroy()
  const take = reader(socket)
  if ((await take(10)).toString() !== 'zINSTREAM\0') return void socket.end('UNKNOWN COMMAND\0')
  if (state.mood === 'hangs') return
  if (state.mood === 'talks nonsense') return void socket.end('stream: perhaps\0')
  if (state.mood === 'never stops talking') return void setInterval(() => socket.write('x'.repeat(1000)), 1).unref()
  const chunks: Buffer[] = []
  let bytes = 0
  for (;;) {
    const length = (await take(4)).readUInt32BE()
    if (length === 0) break
    state.largestChunk = Math.max(state.largestChunk, length)
    chunks.push(await take(length))
    bytes += length
    if (bytes > state.maxBytes) return void socket.end('INSTREAM size limit exceeded. ERROR\0')
  }
  state.scanned += 1
  const found = Buffer.concat(chunks).includes(EICAR)
  socket.end(found ? 'stream: Eicar-Test-Signature FOUND\0' : 'stream: OK\0')
}

const reader = (socket: Socket) => {
  const parts = socket[Symbol.asyncIterator]()
  let held = Buffer.alloc(0)
  return async (size: number): Promise<Buffer> => {
    while (held.length < size) {
      const { done, value } = await parts.next()
      if (done) throw new Error('cut short')
      held = Buffer.concat([held, value as Buffer])
    }
    const taken = held.subarray(0, size)
    held = held.subarray(size)
    return taken
  }
}

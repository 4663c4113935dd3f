import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { startFaultyProxy } from './faulty-proxy.ts'

const listen = async (server: Server) => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  }
}

/** Answers every piece in capitals. */
const shouting = () =>
  listen(
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (piece) => socket.write(piece.toString().toUpperCase()))
      socket.on('end', () => socket.end())
    }),
  )

const say = async (port: number, words: string): Promise<string> => {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.end(words)
  return text(socket)
}

describe('the faulty proxy', () => {
  it('passes connections on, and cuts, resets and hangs them as told', async () => {
    await using engine = await shouting()
    await using proxy = await startFaultyProxy(engine.port, 'tcp')
    expect(await say(proxy.port, 'hello')).toBe('HELLO')
    proxy.set({ delayMs: 10 })
    expect(await say(proxy.port, 'hello')).toBe('HELLO')
    proxy.set({ cutAfterBytes: 3, times: 1 })
    await expect(say(proxy.port, 'hello')).rejects.toThrow('ECONNRESET')
    expect(await say(proxy.port, 'hello')).toBe('HELLO')
    proxy.set({ down: true })
    await expect(say(proxy.port, 'hello')).rejects.toThrow('ECONNRESET')
    proxy.set({ stallAfterBytes: 2 })
    const socket = connect(proxy.port, '127.0.0.1')
    socket.write('hello')
    const got = await new Promise((resolve) => socket.once('data', (piece) => resolve(piece.toString())))
    expect(got).toBe('HE')
    const reset = new Promise((resolve) => socket.once('error', resolve))
    // Those that are open go with it.
    proxy.set({ down: true })
    expect(await reset).toMatchObject({ code: 'ECONNRESET' })
  })

  it('fails one request in so many, of those that are meant', async () => {
    await using engine = await listen(createHttpServer((asked, answer) => void asked.pipe(answer)))
    await using proxy = await startFaultyProxy(engine.port, 'http')
    proxy.set({ failOneIn: 3, only: ({ path }) => path === '/some' })
    const statuses = []
    for (let request = 0; request < 6; request++) {
      statuses.push((await fetch(`${proxy.url}/some`, { method: 'POST', body: 'x' })).status)
      expect(await (await fetch(`${proxy.url}/others`, { method: 'POST', body: 'passed' })).text()).toBe('passed')
    }
    expect(statuses).toEqual([200, 200, 503, 200, 200, 503])
    expect(proxy.done()).toBe(2)
    expect(proxy.seen).toHaveLength(12)
    proxy.set({ loseAnswer: true, times: 1 })
    await expect(fetch(proxy.url, { method: 'POST', body: 'x' })).rejects.toThrow()
    expect(await (await fetch(proxy.url, { method: 'POST', body: 'x' })).text()).toBe('x')
  })
})

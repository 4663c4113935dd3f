import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createClamd, parseAnswer } from '../../src/jobs/clamd.ts'
import { clamdIsHere, MAX_STREAM_BYTES, SIGNATURE, startClamd } from '../engines/clamd.ts'
import { EICAR, startClamdDouble } from '../engines/clamd-double.ts'

const here = clamdIsHere()
const never = new AbortController().signal
const clamdAt = (port: number) => createClamd({ host: '127.0.0.1', port })

describe('a scanner that speaks the protocol of clamd', () => {
  it.for([
    ['nothing', Buffer.alloc(0), { kind: 'clean' }],
    ['a picture', Buffer.alloc(300_000, 7), { kind: 'clean' }],
    ['a virus', Buffer.from(`before ${EICAR}`), { kind: 'infected', signature: 'Eicar-Test-Signature' }],
  ] as const)('says what it finds in %s', async ([, bytes, verdict]) => {
    await using double = await startClamdDouble()
    expect(await clamdAt(double.port).scan(Readable.from([bytes]), never)).toEqual(verdict)
    expect(double.largestChunk).toBeLessThanOrEqual(64 * 1024)
  })

  it('sends a stream of any length to its end', async () => {
    await using double = await startClamdDouble()
    let given = 0
    async function* pieces() {
      for (; given < 80; given++) yield Buffer.alloc(100_000)
    }
    expect(await clamdAt(double.port).scan(Readable.from(pieces()), never)).toEqual({ kind: 'clean' })
    expect(given).toBe(80)
  })

  it.for([
    ['hangs up', 'hung up'],
    ['talks nonsense', 'stream: perhaps'],
    ['never stops talking', 'hung up'],
  ] as const)('fails when it %s', async ([mood, message]) => {
    await using double = await startClamdDouble()
    double.mood = mood
    await expect(clamdAt(double.port).scan(Readable.from([Buffer.alloc(10)]), never)).rejects.toThrow(message)
  })

  it('reports a size limit in the middle of the bytes', async () => {
    await using double = await startClamdDouble()
    double.maxBytes = 1000
    const scan = clamdAt(double.port).scan(Readable.from([Buffer.alloc(500), Buffer.alloc(600)]), never)
    await expect(scan).rejects.toThrow('size limit exceeded')
  })

  it('stops at its signal, and closes the bytes', async () => {
    await using double = await startClamdDouble()
    double.mood = 'hangs'
    const bytes = Readable.from([Buffer.alloc(10)])
    const abort = new AbortController()
    const scan = clamdAt(double.port).scan(bytes, abort.signal)
    setTimeout(() => abort.abort(new Error('enough')), 20)
    await expect(scan).rejects.toThrow('enough')
    expect(bytes.destroyed).toBe(true)
  })

  it('fails where nobody listens, and hands on what the bytes throw', async () => {
    await using double = await startClamdDouble()
    const { port } = double
    const broken = Readable.from(
      (async function* () {
        yield Buffer.alloc(10)
        throw new Error('the disk failed')
      })(),
    )
    await expect(clamdAt(port).scan(broken, never)).rejects.toThrow('the disk failed')
    await double[Symbol.asyncDispose]()
    await expect(clamdAt(port).scan(Readable.from([Buffer.alloc(1)]), never)).rejects.toThrow()
  })

  it.for(['', 'stream: ', 'stream: X', 'OK', 'stream: OK\n', 'INSTREAM size limit exceeded. ERROR'])(
    'takes %j for no verdict',
    (text) => {
      expect(() => parseAnswer(text)).toThrow('the scanner answered')
    },
  )
})

describe.runIf(here)('a real clamd', () => {
  it('says what it finds, scan after scan, and takes no more than its limit', async () => {
    await using clamd = await startClamd()
    const scan = (...bytes: readonly Buffer[]) => clamdAt(clamd.port).scan(Readable.from(bytes), never)
    const photo = await readFile(new URL('../fixtures/photo.jpg', import.meta.url))
    const infected = { kind: 'infected', signature: SIGNATURE }
    expect(await scan(photo)).toEqual({ kind: 'clean' })
    expect(await scan(Buffer.from(EICAR))).toEqual(infected)
    expect(await scan(photo, Buffer.from(EICAR))).toEqual(infected)
    expect(await scan(Buffer.alloc(0))).toEqual({ kind: 'clean' })
    expect(await scan(Buffer.alloc(MAX_STREAM_BYTES))).toEqual({ kind: 'clean' })
    const tooLarge = Array.from({ length: 8 }, () => Buffer.alloc(MAX_STREAM_BYTES / 4))
    await expect(scan(...tooLarge)).rejects.toThrow('size limit exceeded')
    const many = await Promise.all(Array.from({ length: 40 }, (_, n) => scan(n % 2 ? photo : Buffer.from(EICAR))))
    expect(many.filter(({ kind }) => kind === 'clean')).toHaveLength(20)
  }, 60_000)
})

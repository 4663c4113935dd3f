/** Resumable uploads: a thousand sessions at once, of which none may fail; and one large file beside `sha256sum` of it. */
import { execFileSync } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LARGE, makeJpeg, numberedJpeg } from '../jpegs.ts'
import { createSessionClient } from '../load/session-client.ts'
import { type Origin, startOrigin } from '../origin.ts'
import type { Part } from '../part.ts'
import { treeUsage, watchMemory } from '../process-tree.ts'
import { comparedRow, plainRow, type Row } from '../row.ts'
import { percentile } from '../statistics.ts'

const SESSIONS = 1_000
const CHUNKS = 16
/** The least that a session takes: what is tried is how many there are, not how large. */
const CHUNK_BYTES = 16 * 1024
const PICTURE = { width: 2000, height: 1500, bytes: CHUNKS * CHUNK_BYTES - CHUNK_BYTES / 2 } as const

const LARGE_FILE_BYTES = 5 * 1024 ** 3
const LARGE_CHUNK_BYTES = 64 * 1024 ** 2
/** Of the large file: what a browser does. */
const AT_ONCE = 4

/** Every session is under way from the first to the last: its chunks one after the other, in an order of its own. */
const manySessions = async (origin: Origin, sessions: number): Promise<Row[]> => {
  const jpeg = await makeJpeg(PICTURE.width, PICTURE.height, PICTURE.bytes)
  using client = createSessionClient(origin, sessions)
  using memory = watchMemory(origin.pid)
  const one = async (number: number): Promise<void> => {
    const file = numberedJpeg(jpeg, number)
    const { id, chunkBytes } = await client.begin(`session-${number}.jpg`, file.length, CHUNK_BYTES)
    const count = Math.ceil(file.length / chunkBytes)
    for (let at = 0; at < count; at += 1) {
      // 7 and 16 have no common divisor, so every chunk comes once.
      const index = (at * 7 + number) % count
      const part = file.subarray(index * chunkBytes, (index + 1) * chunkBytes)
      await client.put(id, index, part.length, () => part)
    }
    await client.complete(id)
  }
  const from = performance.now()
  const told = await Promise.allSettled(Array.from({ length: sessions }, (_, number) => one(number)))
  const seconds = (performance.now() - from) / 1000
  const failed = told.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []))
  const { chunkMs, waits } = client.tally
  const rate = (count: number): number => count / seconds
  return [
    plainRow({
      what: `${sessions} sessions of ${CHUNKS} chunks at once: failed`,
      unit: '',
      ours: [failed.length],
      target: { of: 'ours', atMost: 0 },
      note: `${failed[0] ?? ''}${waits} requests told to wait; in ${seconds.toFixed(1)} s`,
    }),
    plainRow({ what: 'the same: files', unit: '/s', ours: [rate(sessions - failed.length)] }),
    plainRow({ what: 'the same: chunks, each durable before its answer', unit: '/s', ours: [rate(chunkMs.length)] }),
    plainRow({
      what: 'the same: p99 of a chunk',
      unit: 'ms',
      ours: [
        percentile(
          chunkMs.toSorted((a, b) => a - b),
          0.99,
        ),
      ],
    }),
    plainRow({
      what: 'the same: peak memory',
      unit: 'MB',
      ours: [memory.peak.pssBytes / 1e6],
      note: 'PSS of all processes',
    }),
  ]
}

/** A JPEG with noise behind its scan, and its end at the end: as large as asked for. */
const writeLargeFile = async (path: string, bytes: number): Promise<void> => {
  const jpeg = await makeJpeg(LARGE.width, LARGE.height, LARGE.bytes)
  const END_OF_IMAGE = 2
  await using file = await open(path, 'w')
  await file.write(jpeg.subarray(0, -END_OF_IMAGE))
  const filler = jpeg.subarray(jpeg.length >> 1, (jpeg.length >> 1) + 256 * 1024)
  for (let left = bytes - jpeg.length; left > 0; left -= filler.length)
    await file.write(filler.subarray(0, Math.min(left, filler.length)))
  await file.write(jpeg.subarray(-END_OF_IMAGE))
}

const largeFile = async (origin: Origin, path: string): Promise<Row[]> => {
  const { size } = await stat(path)
  using client = createSessionClient(origin, AT_ONCE)
  using memory = watchMemory(origin.pid)
  const before = treeUsage(origin.pid).pssBytes
  const hashFrom = performance.now()
  execFileSync('sha256sum', [path])
  const hashSeconds = (performance.now() - hashFrom) / 1000

  const from = performance.now()
  const { id, chunkBytes } = await client.begin('large.jpg', size, LARGE_CHUNK_BYTES)
  const left = Array.from({ length: Math.ceil(size / chunkBytes) }, (_, index) => index)
  const worker = async (): Promise<void> => {
    for (let index = left.shift(); index !== undefined; index = left.shift()) {
      const start = index * chunkBytes
      const bytes = Math.min(chunkBytes, size - start)
      await client.put(id, index, bytes, () => createReadStream(path, { start, end: start + bytes - 1 }))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  const sentSeconds = (performance.now() - from) / 1000
  await client.complete(id)
  const seconds = (performance.now() - from) / 1000
  const mb = size / 1e6
  return [
    comparedRow({
      what: `one file of ${(size / 1024 ** 3).toFixed(1)} GiB, from its first byte to its asset`,
      unit: 'MB/s',
      ours: [mb / seconds],
      reference: [mb / hashSeconds],
      note: `chunks of ${LARGE_CHUNK_BYTES / 1024 ** 2} MiB, ${AT_ONCE} at once, in ${sentSeconds.toFixed(1)} s; then ${(seconds - sentSeconds).toFixed(1)} s to its asset`,
    }),
    plainRow({
      what: 'the same: peak memory',
      unit: 'MB',
      ours: [memory.peak.pssBytes / 1e6],
      note: `PSS of all processes; ${Math.round(before / 1e6)} before`,
    }),
  ]
}

export const sessions: Part = async ({ quick, log }) => {
  await using origin = await startOrigin()
  log('many sessions')
  const many = await manySessions(origin, quick ? 100 : SESSIONS)
  const folder = await mkdtemp(join(tmpdir(), 'oriel-bench-large-'))
  try {
    log('one large file')
    const path = join(folder, 'large.jpg')
    await writeLargeFile(path, quick ? LARGE_FILE_BYTES / 10 : LARGE_FILE_BYTES)
    return [
      {
        title: 'Resumable uploads',
        reference: '`sha256sum` of the same file, from the page cache',
        rows: [...many, ...(await largeFile(origin, path))],
      },
    ]
  } finally {
    await rm(folder, { recursive: true })
  }
}

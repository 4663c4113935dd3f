/** Copies that the store makes, when the answer to their last call is lost. */
import { createServer, request } from 'node:http'
import { AbortMultipartUploadCommand, ListMultipartUploadsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectS3 } from '../../src/blobs/s3-client.ts'
import { joinObjects } from '../../src/blobs/s3-copy.ts'
import { type Ceph, cephIsHere, startCeph } from '../engines/ceph.ts'
import { reset } from '../engines/faulty-proxy.ts'
import { headOf, keysIn, locationOf, never, sample, unfinishedUploads } from './s3-fixture.ts'

const MIB = 1024 * 1024
const NO_SUCH_UPLOAD = '<?xml version="1.0"?><Error><Code>NoSuchUpload</Code><Message>none</Message></Error>'

interface Forgetful extends AsyncDisposable {
  readonly url: string
  aborts(): number
}

/**
 * Before the gateway: the first end of an upload is passed on if `does`, and its answer is lost; for every later one there is no such
 * upload, as MinIO says, or no answer either.
 */
const startForgetful = async (port: number, does: boolean, later: 'says none' | 'is silent'): Promise<Forgetful> => {
  let [ends, aborts] = [0, 0]
  const server = createServer((asked, answer) => {
    const { method, url: path = '', headers } = asked
    const isEnd = method === 'POST' && path.includes('uploadId=')
    if (method === 'DELETE') aborts += 1
    if (isEnd) ends += 1
    if (isEnd && (ends > 1 || !does)) {
      if (later === 'is silent') return reset(asked.socket)
      return void asked.resume().once('end', () => answer.writeHead(404).end(NO_SUCH_UPLOAD))
    }
    const passed = request({ host: '127.0.0.1', port, method, path, headers }, (response) => {
      if (isEnd) return void response.resume().once('end', () => reset(asked.socket))
      answer.writeHead(response.statusCode ?? 502, response.rawHeaders)
      response.pipe(answer)
    })
    asked.pipe(passed)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    aborts: () => aborts,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

describe.runIf(cephIsHere)('an object joined of others', () => {
  let ceph: Ceph
  let bucket: string
  beforeAll(async () => {
    ceph = await startCeph()
    Object.assign(process.env, ceph.credentials)
    bucket = await ceph.createBucket()
    using connection = connect(ceph.endpoint)
    const Body = sample(5 * MIB)
    await connection.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'part', Body }))
  })
  afterAll(() => ceph[Symbol.asyncDispose]())

  const connect = (endpoint: string) => connectS3(locationOf(bucket, endpoint))
  const join = async (endpoint: string, key: string) => {
    using connection = connect(endpoint)
    await joinObjects(connection, [{ key: 'part' }, { key: 'part' }], { key }, never)
  }

  it('is there when the store says at the second try that there is no such upload any more', async () => {
    await using store = await startForgetful(ceph.port, true, 'says none')
    await join(store.url, 'joined')
    expect((await headOf(ceph, bucket, 'joined')).ContentLength).toBe(10 * MIB)
    expect([store.aborts(), await unfinishedUploads(ceph, bucket)]).toEqual([0, 0])
  })

  it('is not taken for another that is there under its key', async () => {
    await using store = await startForgetful(ceph.port, false, 'says none')
    await expect(join(store.url, 'part')).rejects.toMatchObject({ kind: 'busy' })
    expect((await headOf(ceph, bucket, 'part')).ContentLength).toBe(5 * MIB)
    expect(await unfinishedUploads(ceph, bucket)).toBe(0)
  })

  it('is not given up while the store may still be joining it', async () => {
    await using store = await startForgetful(ceph.port, false, 'is silent')
    await expect(join(store.url, 'silent')).rejects.toThrow()
    expect([store.aborts(), await unfinishedUploads(ceph, bucket)]).toEqual([0, 1])
    expect(await keysIn(ceph, bucket)).not.toContain('silent')
    const { Uploads = [] } = await ceph.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
    for (const { Key, UploadId } of Uploads)
      await ceph.client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }))
  })
})

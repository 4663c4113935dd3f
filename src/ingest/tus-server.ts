/** `@tus/server` for one request: its store and its lock are ours, made with what is known of the caller. */
import { DataStore, Server, Upload } from '@tus/server'
import { parseUploadId } from '../core/ids.ts'
import type { UploadSession } from '../core/upload-session.ts'
import { advance, contiguousBytes, stateAt } from './session.ts'
import type { Sessions } from './sessions.ts'
import type { ChecksumCheck } from './tus-checksum.ts'
import type { TusLocks } from './tus-lock.ts'
import { receiveTus, type TusReceivePorts } from './tus-receive.ts'

export const TUS_PATH = '/files'
export const ASSET_HEADER = 'Oriel-Asset-Id'

/** Between the word to let go and the end of the body: what is on the wire may still come. */
const LET_GO_MS = 200

export interface TusPorts extends TusReceivePorts {
  readonly sessions: Sessions
  readonly locks: TusLocks
}

export interface TusRequest {
  readonly publicUrl: string
  readonly check: ChecksumCheck | undefined
  /** Makes the session of a POST, from its headers. */
  readonly create: () => Promise<UploadSession>
  /** Finds the caller's own session. @throws AppError `not-found`. */
  readonly load: (id: string) => Promise<UploadSession>
  /** When all bytes are in. @returns the asset's id, or undefined where it takes longer. */
  readonly finish: (session: UploadSession) => Promise<string | undefined>
}

/** @throws what was thrown inside, which the library would tell the client word for word; the protocol's own refusals are answers. */
export const answerTus = async (ports: TusPorts, ours: TusRequest, request: Request): Promise<Response> => {
  const store = new SessionStore(ports, ours)
  const failures: Error[] = []
  const server = new Server({
    path: TUS_PATH,
    datastore: store,
    maxSize: ports.sessions.limits.maxBytes,
    // As of every other call: nothing is said of other origins.
    allowedOrigins: [],
    lockDrainTimeout: LET_GO_MS,
    locker: { newLock: (id) => ports.locks.newLock(parseUploadId(id), store.settled) },
    generateUrl: (_request, { id }) => `${ours.publicUrl}${TUS_PATH}/${id}`,
    namingFunction: async () => (await store.begin()).id,
    onUploadFinish: async (_request, { id }) => {
      const assetId = await ours.finish(await ours.load(id))
      return assetId === undefined ? {} : { headers: { [ASSET_HEADER]: assetId } }
    },
    onResponseError: (_request, error) => {
      // Its own say their status.
      if (error instanceof Error && !('status_code' in error)) failures.push(error)
      return undefined
    },
  })
  const response = await server.handleWeb(request)
  const [failure] = failures
  if (failure) throw failure
  return response
}

/** A class because the library's base is one. */
class SessionStore extends DataStore {
  readonly #ports: TusPorts
  readonly #ours: TusRequest
  #begun: UploadSession | undefined
  #writing: Promise<unknown> = Promise.resolve()
  override extensions = ['creation', 'creation-with-upload', 'expiration', 'termination', 'checksum']

  constructor(ports: TusPorts, ours: TusRequest) {
    super()
    this.#ports = ports
    this.#ours = ours
  }

  /** Resolves when what this request writes is written. */
  readonly settled = (): Promise<unknown> => this.#writing

  /** The session is made where the library asks for a name: an upload of ours has both at once. */
  async begin(): Promise<UploadSession> {
    this.#begun = await this.#ours.create()
    return this.#begun
  }

  override async create(upload: Upload): Promise<Upload> {
    upload.creation_date = this.#begun?.createdAt.toISOString()
    return upload
  }

  override async getUpload(id: string): Promise<Upload> {
    const session = await this.#ours.load(id)
    const state = stateAt(session, new Date())
    if (state !== 'done' && state !== 'completing') advance(session, 'receive', new Date())
    const offset =
      state === 'done' ? session.bytes : contiguousBytes(await this.#ports.sessions.pieces(session), session.bytes)
    return new Upload({ id, size: session.bytes, offset, creation_date: session.createdAt.toISOString() })
  }

  override write(stream: AsyncIterable<Uint8Array>, id: string, offset: number): Promise<number> {
    const writing = this.#ours
      .load(id)
      .then((session) => receiveTus(this.#ports, session, offset, stream, this.#ours.check))
    this.#writing = writing
    return writing
  }

  override async remove(id: string): Promise<void> {
    await this.#ports.sessions.abort(await this.#ours.load(id), AbortSignal.timeout(60_000))
  }

  override getExpiration(): number {
    return this.#ports.sessions.limits.lifeMs
  }
}

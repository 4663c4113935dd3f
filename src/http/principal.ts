/** Credentials → Principal. A bearer token is the admin key or an API key; keys are compared and looked up by digest only. */
import { hash, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { AppError } from '../core/errors.ts'
import { type OwnerId, parseOwnerId } from '../core/ids.ts'
import type { Env } from './context.ts'

export interface Principal {
  readonly ownerId: OwnerId
  readonly admin: boolean
}

/** Finds the owner of an API key by the SHA-256 (hex) of the key; undefined for an unknown or revoked one. */
export type FindKeyOwner = (keyHash: string) => Promise<OwnerId | undefined>

/** Middleware that lets a request pass only with the right credentials, and puts the Principal on its context. */
export interface Guards {
  readonly caller: MiddlewareHandler<Env>
  readonly admin: MiddlewareHandler<Env>
}

/** The admin key's own assets belong to this owner. */
export const ADMIN_OWNER = parseOwnerId('admin')

/** Longest token looked at: ours are under 64 characters, an operator's own admin key may be longer. */
const MAX_TOKEN_CHARS = 512

export const hashKey = (key: string): string => hash('sha256', key)

/**
 * @throws (from the middleware) AppError `unauthorized` without a valid token, `forbidden` where admin is needed.
 * The admin key is compared as a SHA-256 in constant time; API keys are 128 random bits looked up by SHA-256, so that the
 * timing of the index look-up tells nothing about a key.
 */
export const createGuards = (adminKey: string, findKeyOwner: FindKeyOwner): Guards => {
  const adminHash = Buffer.from(hashKey(adminKey), 'hex')
  const authenticate = async (authorization: string | undefined): Promise<Principal> => {
    const token = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization ?? '')?.[1]
    if (!token || token.length > MAX_TOKEN_CHARS)
      throw new AppError('unauthorized', 'send Authorization: Bearer <API key>')
    const keyHash = hashKey(token)
    if (timingSafeEqual(Buffer.from(keyHash, 'hex'), adminHash)) return { ownerId: ADMIN_OWNER, admin: true }
    const ownerId = await findKeyOwner(keyHash)
    if (!ownerId) throw new AppError('unauthorized', 'this API key is not known, or was revoked')
    return { ownerId, admin: false }
  }
  const guard =
    (adminOnly: boolean): MiddlewareHandler<Env> =>
    async (c, next) => {
      const principal = await authenticate(c.req.header('Authorization'))
      if (adminOnly && !principal.admin) throw new AppError('forbidden', 'this call needs the admin key')
      c.set('principal', principal)
      await next()
    }
  return { caller: guard(false), admin: guard(true) }
}

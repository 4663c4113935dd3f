/** The `Idempotency-Key` header, as every route that knows it reads it. */
import { z } from '@hono/zod-openapi'
import { AppError } from '../core/errors.ts'

/** Visible ASCII, as in draft-ietf-httpapi-idempotency-key-header §2.1, whose quotes we do not ask for. */
export const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/
const RULE = '1–255 visible ASCII characters'

/** For a route whose headers a schema judges. */
export const IdempotencyKey = z.string().regex(IDEMPOTENCY_KEY, RULE).optional()

/** @throws AppError `bad-request` */
export const parseIdempotencyKey = (text: string | undefined): string | undefined => {
  if (text !== undefined && !IDEMPOTENCY_KEY.test(text)) throw new AppError('bad-request', `idempotency-key: ${RULE}`)
  return text
}

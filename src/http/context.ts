/** The typed Hono environment, and the one way to make a router: inputs are judged by zod, faults become problems. */

import type { HttpBindings } from '@hono/node-server'
import { type OpenAPIHono as App, OpenAPIHono } from '@hono/zod-openapi'
import { AppError } from '../core/errors.ts'
import type { Principal } from './principal.ts'
import { KINDS } from './problem.ts'

export interface Env {
  readonly Bindings: HttpBindings
  readonly Variables: {
    /** From `X-Request-Id` where it is well-formed, else made here; in every log line and problem of the request. */
    requestId: string
    /** Who calls; set by the guards of `principal.ts`, so readable only behind one. */
    principal: Principal
    /** Prefix of the URLs in the answer: `https://img.example.com`. */
    publicUrl: string
  }
}

export type Router = App<Env>

interface Issue {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

/** A router whose request schemas answer 400 naming every wrong field and why. */
export const createRouter = (): Router =>
  new OpenAPIHono<Env>({
    defaultHook: (result) => {
      if (!result.success) throw new AppError('bad-request', describe(result.error.issues))
    },
  })

const describe = (issues: readonly Issue[]): string =>
  issues.map((issue) => `${issue.path.map(String).join('.') || 'request'}: ${issue.message}`).join('; ')

/** OpenAPI `responses` entries for the problems an operation may answer with. */
export const problems = (...statuses: readonly number[]) =>
  Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: KINDS.get(status) ?? 'problem',
        content: { 'application/problem+json': { schema: PROBLEM_SCHEMA } },
      },
    ]),
  )

const PROBLEM_SCHEMA = {
  type: 'object' as const,
  required: ['type', 'title', 'status', 'detail'],
  properties: {
    type: { type: 'string' as const },
    title: { type: 'string' as const },
    status: { type: 'integer' as const },
    detail: { type: 'string' as const },
    instance: { type: 'string' as const, description: 'the request id' },
  },
}

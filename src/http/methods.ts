/** Which methods each path has, from the routes themselves: what `Allow` says (RFC 9110 §10.2.1), for 405 and OPTIONS. */
import type { MiddlewareHandler } from 'hono'
import { AppError } from '../core/errors.ts'
import type { Env, Router } from './context.ts'

/** The methods of a request's path, or undefined for a path that is nowhere. */
export type MethodsOf = (path: string) => ReadonlySet<string> | undefined

/**
 * @param routes an app's, `/assets/:id` style. A path without parameters stands before one with: `/assets/upload` is no asset's.
 */
export const createMethodTable = (routes: Router['routes']): MethodsOf => {
  const exact = new Map<string, Set<string>>()
  const patterns = new Map<string, Set<string>>()
  for (const { path, method } of routes.filter((route) => route.method !== 'ALL')) {
    const table = path.includes(':') ? patterns : exact
    const methods = table.get(path) ?? new Set()
    table.set(path, methods.add(method))
    if (method === 'GET') methods.add('HEAD')
  }
  const split = [...patterns].map(([path, methods]) => ({ pattern: path.split('/'), methods }))
  return (path) => {
    const known = exact.get(path)
    if (known) return known
    const parts = path.split('/')
    return split.find(({ pattern }) => fits(pattern, parts))?.methods
  }
}

const fits = (pattern: readonly string[], parts: readonly string[]): boolean =>
  pattern.length === parts.length &&
  pattern.every((part, at) => (part.startsWith(':') ? parts[at] !== '' : part === parts[at]))

/**
 * Middleware in front of all routes: OPTIONS of a known path answers 204, and says nothing of other origins.
 * @throws (from the middleware) AppError `method-not-allowed` for a method that a known path does not have.
 */
export const guardMethods =
  (methodsOf: MethodsOf): MiddlewareHandler<Env> =>
  async (c, next) => {
    const { method, path } = c.req
    const methods = methodsOf(path)
    if (!methods || methods.has(method)) return next()
    // A route may have an OPTIONS of its own, as tus does.
    const headers = { Allow: [...new Set([...methods, 'OPTIONS'])].join(', ') }
    if (method === 'OPTIONS') return c.body(null, 204, headers)
    throw new AppError('method-not-allowed', `${path} has no ${method}, but ${[...methods].join(', ')}`, { headers })
  }

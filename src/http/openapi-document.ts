/** The OpenAPI 3.1 document, from the same schemas that judge requests; every operation gets an id that generators can name. */
import { z } from '@hono/zod-openapi'
import type { Router } from './context.ts'

const METHODS = ['get', 'post', 'put', 'patch', 'delete'] as const

const ABOUT = {
  openapi: '3.1.0',
  info: {
    title: 'Oriel',
    version: '0.1.0',
    description:
      'An image CDN origin: store once, negotiate per device, render on demand, count every request.\n\n' +
      'A fault is `application/problem+json`. Any path answers 405 to a method it does not have, and `Allow` names those it has.',
    license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
  },
  security: [{ bearer: [] }],
}

/** Such as `post-assets-id-restore`: method and path, which together are unique by the standard (OpenAPI 3.1 §4.8.10). */
const operationId = (method: string, path: string): string =>
  [method, ...path.split(/[^A-Za-z0-9]+/).filter((part) => part !== '')].join('-')

/** Adds the two addresses that are served without a route of a schema: this document, and the page that shows it. */
export const describePages = (app: Router): void => {
  const page = { method: 'get' as const, tags: ['operations'], security: [] }
  app.openAPIRegistry.registerPath({
    ...page,
    path: '/openapi.json',
    summary: 'This document',
    responses: { 200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: z.looseObject({}) } } } },
  })
  app.openAPIRegistry.registerPath({
    ...page,
    path: '/docs',
    summary: 'This document, to browse',
    responses: { 200: { description: 'a page', content: { 'text/html': { schema: z.string() } } } },
  })
}

/** @param app with every route mounted. */
export const openApiDocument = (app: Router): object => {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' })
  const document = app.getOpenAPI31Document(ABOUT)
  for (const [path, item] of Object.entries(document.paths ?? {}))
    for (const method of METHODS) {
      const operation = item[method]
      if (operation) operation.operationId ??= operationId(method, path)
    }
  return document
}

/** Delivery's part of the OpenAPI document. The requests themselves are answered in front of Hono (`handler.ts`). */
import { z } from '@hono/zod-openapi'
import { OUTPUT_FORMATS } from '../core/image.ts'
import { FITS, QUALITY_LEVELS } from '../core/render-plan.ts'
import { createRouter, problems, type Router } from '../http/context.ts'

const hash = z
  .string()
  .openapi({ param: { name: 'hash', in: 'path' }, description: 'SHA-256 of the original, 64 lower-case hex digits' })
const size = z.string().openapi({
  param: { name: 'size', in: 'path' },
  example: '800x600',
  description: '`800x600`, `800x`, `x600`, `x` (natural), `autox`, `autox600`; 1…8192 a side',
})
const fmt = z.enum([...OUTPUT_FORMATS, 'jpg', 'auto']).openapi({ param: { name: 'fmt', in: 'path' }, example: 'auto' })
const preset = z.string().openapi({ param: { name: 'preset', in: 'path' }, example: 'thumb' })

const options = z.object({
  fit: z.enum(FITS).optional().openapi({ description: 'default `inside`' }),
  g: z
    .string()
    .optional()
    .openapi({ description: 'where `cover` crops: center, attention, entropy, a compass point, or `0.3,0.7`' }),
  dpr: z.string().optional().openapi({ description: '0.5…4, or `auto`' }),
  q: z
    .string()
    .optional()
    .openapi({ description: `1…100, or ${QUALITY_LEVELS.join(', ')}` }),
  crop: z
    .string()
    .optional()
    .openapi({ example: '0,0,400,300', description: 'x,y,width,height in pixels of the original' }),
  rot: z.enum(['90', '180', '270']).optional(),
  flip: z.enum(['h', 'v', 'hv']).optional(),
  bg: z
    .string()
    .optional()
    .openapi({ description: 'colour behind transparency and around `contain`', example: 'ffffff' }),
  blur: z.string().optional().openapi({ description: 'sigma, 0.3…100' }),
  sharp: z.string().optional().openapi({ description: 'sigma, 0.3…10' }),
  page: z.string().optional().openapi({ description: 'page or frame, from 0' }),
  enlarge: z.enum(['0', '1']).optional(),
  exp: z.string().optional().openapi({ description: 'signature: Unix time of expiry in seconds' }),
  kid: z.string().optional().openapi({ description: 'signature: key id' }),
  pol: z.string().optional().openapi({ description: 'signature: policy, base64url JSON' }),
  sig: z.string().optional().openapi({ description: 'signature: base64url HMAC-SHA256' }),
})

const binary = { schema: { type: 'string' as const, format: 'binary' } }
const images = Object.fromEntries(OUTPUT_FORMATS.map((format) => [`image/${format}`, binary]))

/** A router without handlers, to be mounted for its documentation. */
export const createDeliveryDocument = (): Router => {
  const router = createRouter()
  const register = router.openAPIRegistry.registerPath.bind(router.openAPIRegistry)
  const base = { method: 'get' as const, tags: ['delivery'], security: [] }
  const notModified = { 304: { description: 'the client has it (If-None-Match)' } }
  const refusals = problems(400, 403, 404, 410, 412, 415, 422, 429, 503)
  register({
    ...base,
    path: '/i/{hash}/{size}.{fmt}',
    summary: 'A picture at a size, in a format',
    description:
      'Unsigned: only of public assets, and sizes snap up to the ladder. `auto`: negotiated from Accept and Client Hints.',
    request: { params: z.object({ hash, size, fmt }), query: options },
    responses: { 200: { description: 'the variant', content: images }, ...notModified, ...refusals },
  })
  register({
    ...base,
    path: '/i/{hash}/@{preset}.{fmt}',
    summary: 'A picture as a named preset asks',
    request: { params: z.object({ hash, preset, fmt }), query: options },
    responses: { 200: { description: 'the variant', content: images }, ...notModified, ...refusals },
  })
  register({
    ...base,
    path: '/i/{hash}/original',
    summary: 'The uploaded bytes, whole or a range',
    request: { params: z.object({ hash }) },
    responses: {
      200: { description: 'the original', content: { 'image/*': binary } },
      206: { description: 'a part of it', content: { 'image/*': binary } },
      ...notModified,
      ...problems(400, 403, 404, 410, 412, 416),
    },
  })
  register({
    ...base,
    path: '/i/{hash}/info.json',
    summary: 'Public facts of the original',
    request: { params: z.object({ hash }) },
    responses: {
      200: { description: 'size, format, frames', content: { 'application/json': { schema: INFO } } },
      ...notModified,
      ...problems(400, 403, 404, 410, 412),
    },
  })
  return router
}

const INFO = z
  .object({
    hash: z.string(),
    width: z.int(),
    height: z.int(),
    format: z.string(),
    media_type: z.string(),
    bytes: z.int(),
    pages: z.int(),
    animated: z.boolean(),
    has_alpha: z.boolean(),
    aspect_ratio: z.number(),
  })
  .openapi('ImageInfo')

/** Ready URLs and markup for one asset: a preset's signed URL, a `srcset`, a `<picture>`. */
import { createRoute, z } from '@hono/zod-openapi'
import { AppError } from '../core/errors.ts'
import { parseAssetId, quote } from '../core/ids.ts'
import { type ImageFacts, MEDIA_TYPE, OUTPUT_FORMATS } from '../core/image.ts'
import { imgElement, sizesFor, sourceElement, stepsFor } from '../http/asset-document.ts'
import { problems, type Router } from '../http/context.ts'
import { AssetIdParam, liveAsset, readableAsset } from '../http/own-asset.ts'
import { findAsset } from '../metadata/assets.ts'
import type { LibraryDeps } from './ports.ts'

/** More candidates than any ladder needs, and few enough to sign in a millisecond. */
const MAX_SIZES = 32
const MAX_WIDTH = 8192

const base = { tags: ['assets'], security: [{ bearer: [] }] }
/** `jpg` in every URL, as `urls` has it, so that caches hold one copy. */
const Format = z
  .enum(['auto', ...OUTPUT_FORMATS, 'jpg'])
  .default('auto')
  .transform((format) => (format === 'jpeg' ? 'jpg' : format))

const Widths = z
  .string()
  .regex(/^ *\d{1,4}w? *(, *\d{1,4}w? *)*$/)
  .transform((text) => [...new Set(text.split(',').map((width) => Number.parseInt(width, 10)))])
  .transform((widths) => widths.sort((a, b) => a - b))
  .pipe(z.array(z.int().min(1).max(MAX_WIDTH)).max(MAX_SIZES))

/** HTML's `sizes` (a source-size-list), as far as told from widths: lengths with a unit, and nothing that is no CSS of a condition. */
const PageSizes = z
  .string()
  .regex(/^(?=.*\d(?:px|r?em|ch|vw|vmin|vmax|vi|[sld]vw|cm|mm|in|pt)\b)[\w ().,:%*/+<>=-]{1,500}$/)

const presetRoute = createRoute({
  ...base,
  method: 'get',
  path: '/{id}/variants/{preset}',
  summary: 'A signed URL of a named preset',
  request: {
    params: AssetIdParam.extend({ preset: z.string().max(64) }),
    query: z.object({ format: Format }),
  },
  responses: {
    200: {
      description: 'the URL',
      content: { 'application/json': { schema: z.object({ url: z.string(), expires_at: z.string() }) } },
    },
    ...problems(400, 401, 404, 410),
  },
})

const srcsetRoute = createRoute({
  ...base,
  method: 'get',
  path: '/{id}/srcset',
  summary: 'A ready srcset, <img> and <picture>',
  request: {
    params: AssetIdParam,
    query: z.object({
      sizes: z
        .union([Widths, PageSizes], { error: "widths in pixels, comma-separated, or the text of HTML's sizes" })
        .optional()
        .openapi({
          type: 'string',
          example: '320,640,1280',
          description:
            "widths in pixels (default: the steps of a ready srcset); or the text of HTML's `sizes`, such as " +
            '`(max-width: 600px) 100vw, 600px`, which the elements then have',
        }),
      format: Format,
    }),
  },
  responses: {
    200: {
      description: 'text to paste into a page',
      content: {
        'application/json': { schema: z.object({ srcset: z.string(), img: z.string(), picture: z.string() }) },
      },
    },
    ...problems(400, 401, 404, 410),
  },
})

export const mountVariants = (
  routes: Router,
  { metadata, guards, urls, ladder, srcsetWidths, defaultWidth, presets }: LibraryDeps,
): void => {
  routes.openapi({ ...presetRoute, middleware: guards.caller }, async (c) => {
    const { id: text, preset } = c.req.valid('param')
    const id = parseAssetId(text)
    const asset = liveAsset(readableAsset(await findAsset(metadata.read, id), id, c.get('principal')))
    if (!presets.has(preset)) throw new AppError('not-found', `no preset ${quote(preset)}`)
    const { url, expiresAt } = urls.signed(c.get('publicUrl'), asset, `@${preset}.${c.req.valid('query').format}`)
    return c.json({ url, expires_at: expiresAt.toISOString() }, 200)
  })

  routes.openapi({ ...srcsetRoute, middleware: guards.caller }, async (c) => {
    const id = parseAssetId(c.req.valid('param').id)
    const { sizes, format } = c.req.valid('query')
    const publicUrl = c.get('publicUrl')
    const asset = liveAsset(readableAsset(await findAsset(metadata.read, id), id, c.get('principal')))
    // A width off the ladder needs a signature to be served as it is.
    const urlOf = (width: number, as: string) => {
      const tail = `${width}x.${as}`
      return ladder.includes(width) ? urls.ready(publicUrl, asset, tail) : urls.signed(publicUrl, asset, tail).url
    }
    const widths = typeof sizes === 'string' ? undefined : sizes
    const srcsetAs = (as: string) =>
      stepsFor(asset.facts.width, widths ?? srcsetWidths)
        .map(({ asked, width }) => `${urlOf(asked, as)} ${width}w`)
        .join(', ')
    const widest = widths?.at(-1) ?? defaultWidth
    const pageSizes = typeof sizes === 'string' ? sizes : sizesFor(Math.min(widest, asset.facts.width))
    const imgAs = (as: string) => imgElement(asset, urlOf(widest, as), srcsetAs(as), pageSizes)
    const { sources, fallback } = pictureFormats(asset.facts)
    const elements = sources.map((as) => sourceElement(MEDIA_TYPE[as], srcsetAs(as), pageSizes))
    const picture = `<picture>${elements.join('')}${imgAs(fallback)}</picture>`
    return c.json({ srcset: srcsetAs(format), img: imgAs(format), picture }, 200)
  })
}

/** What a `<picture>` offers, and what every browser shows: nothing that would still an animation or fill what is transparent. */
const pictureFormats = ({ animated, hasAlpha }: ImageFacts) => {
  if (animated) return { sources: ['webp'], fallback: 'gif' } as const
  return { sources: ['avif', 'webp'], fallback: hasAlpha ? 'png' : 'jpg' } as const
}

/** An asset as JSON, and its OpenAPI schema: what upload, list, get, patch and restore all answer. */
import { z } from '@hono/zod-openapi'
import { type Asset, ORIGINAL_FAULTS, SCAN_STATES, VISIBILITIES } from '../core/asset.ts'
import { MEDIA_TYPE, ORIGINAL_FORMATS } from '../core/image.ts'

/**
 * Makes the URLs that an answer carries; delivery's signing is behind it. `publicUrl` is their prefix, `tail` what follows
 * `/i/{hash}/`: `320x.auto`.
 */
export interface AssetUrls {
  /** Works as it is: plain where the asset is public, else signed and expiring. */
  ready(publicUrl: string, asset: Pick<Asset, 'digest' | 'visibility'>, tail: string): string
  /** Signed and expiring whatever the visibility. */
  signed(
    publicUrl: string,
    asset: Pick<Asset, 'digest'>,
    tail: string,
  ): { readonly url: string; readonly expiresAt: Date }
}

export interface AssetDocumentOptions {
  readonly urls: AssetUrls
  /** Widths that delivery serves without a signature, ascending: the steps of every srcset. */
  readonly ladder: readonly number[]
  /** Width of `urls.auto`, `urls.avif`… and of the snippet's `src`. */
  readonly defaultWidth: number
}

export const AssetSchema = z
  .object({
    id: z.string().openapi({ example: 'a_3q2-7wEoR0eXbC1dYh9zUQ' }),
    hash: z.string().openapi({ description: 'SHA-256 of the original, 64 lower-case hex digits' }),
    owner: z.string(),
    filename: z.string().nullable(),
    title: z.string().nullable(),
    description: z.string().nullable(),
    visibility: z.enum(VISIBILITIES),
    tags: z.array(z.string()),
    location: z.object({ latitude: z.number(), longitude: z.number() }).nullable(),
    taken_at: z.string().nullable(),
    width: z.int().openapi({ description: 'pixels, after the EXIF orientation' }),
    height: z.int(),
    format: z.enum(ORIGINAL_FORMATS),
    media_type: z.string(),
    bytes: z.int(),
    pages: z.int(),
    animated: z.boolean(),
    has_alpha: z.boolean(),
    created_at: z.string(),
    updated_at: z.string(),
    deleted_at: z.string().nullable(),
    scan: z.object({ state: z.enum(SCAN_STATES) }).openapi({
      description:
        'what a scanner said of the bytes; `infected` is never served, `pending` may be held until it is `clean`',
    }),
    fault: z.enum(ORIGINAL_FAULTS).nullable().openapi({
      description: 'what is wrong with the stored bytes: nothing is served of them until they are uploaded again',
    }),
    deduplicated: z.boolean().optional().openapi({ description: 'after an upload: the bytes were known already' }),
    urls: z.record(z.string(), z.string()).openapi({
      description:
        'original, info, auto, avif, webp, jpeg, and one negotiated URL for each ladder width; private ones expire',
    }),
    srcset: z.string(),
    img: z.string().openapi({ description: 'a ready <img> element' }),
  })
  .openapi('Asset')

export type AssetDocument = z.infer<typeof AssetSchema>

/** `deduplicated` is said only where an upload is answered. */
export type DescribeAsset = (asset: Asset, publicUrl: string, deduplicated?: boolean) => AssetDocument

export const createDescribeAsset =
  ({ urls, ladder, defaultWidth }: AssetDocumentOptions): DescribeAsset =>
  (asset, publicUrl, deduplicated) => {
    const ready = (tail: string) => urls.ready(publicUrl, asset, tail)
    const steps = stepsFor(asset.facts.width, ladder).map((step) => ({ ...step, url: ready(`${step.asked}x.auto`) }))
    const srcset = steps.map(({ url, width }) => `${url} ${width}w`).join(', ')
    const auto = ready(`${defaultWidth}x.auto`)
    const { width, height, format, pages, animated, hasAlpha } = asset.facts
    return {
      id: asset.id,
      hash: asset.digest,
      owner: asset.ownerId,
      filename: asset.filename,
      title: asset.title,
      description: asset.description,
      visibility: asset.visibility,
      tags: [...asset.tags],
      location: asset.location,
      taken_at: asset.takenAt,
      width,
      height,
      format,
      media_type: MEDIA_TYPE[format],
      bytes: asset.bytes,
      pages,
      animated,
      has_alpha: hasAlpha,
      created_at: asset.createdAt.toISOString(),
      updated_at: asset.updatedAt.toISOString(),
      deleted_at: asset.deletedAt?.toISOString() ?? null,
      scan: { state: asset.condition?.scan ?? 'none' },
      fault: asset.condition?.fault ?? null,
      ...(deduplicated !== undefined && { deduplicated }),
      urls: addSteps(steps, {
        original: ready('original'),
        info: ready('info.json'),
        auto,
        avif: ready(`${defaultWidth}x.avif`),
        webp: ready(`${defaultWidth}x.webp`),
        jpeg: ready(`${defaultWidth}x.jpg`),
      }),
      srcset,
      img: imgElement(asset, auto, srcset, sizesFor(Math.min(defaultWidth, width))),
    }
  }

/**
 * Adds a URL under the number of each step, the largest first: from small to large V8 would take the object for an array and make room for
 * all numbers between, again and again as it grows. That was 40 % of the memory an upload allocates.
 */
const addSteps = (
  steps: readonly { readonly asked: number; readonly url: string }[],
  urls: Record<string, string>,
): Readonly<Record<string, string>> => {
  for (const { asked, url } of steps.toReversed()) urls[asked] = url
  return urls
}

/** A ladder width to ask for, and the width that comes back. */
export interface SrcsetStep {
  readonly asked: number
  readonly width: number
}

/** The ladder up to the first step that holds the whole original: asked for as a step, described by the width it really has. */
export const stepsFor = (originalWidth: number, ladder: readonly number[]): readonly SrcsetStep[] => {
  const below = ladder.filter((step) => step < originalWidth)
  const top = ladder[below.length]
  return [...below, ...(top === undefined ? [] : [top])].map((asked) => ({
    asked,
    width: Math.min(asked, originalWidth),
  }))
}

/** An `<img>` whose place is kept while it loads; `sizes` is the text of HTML's attribute. */
export const imgElement = (asset: Asset, src: string, srcset: string, sizes: string): string => {
  const { width, height } = asset.facts
  const attributes = {
    src,
    srcset,
    sizes,
    width,
    height,
    loading: 'lazy',
    decoding: 'async',
    alt: asset.title ?? asset.filename ?? '',
  }
  const text = Object.entries(attributes).map(([name, value]) => `${name}="${escapeAttribute(String(value))}"`)
  return `<img ${text.join(' ')}>`
}

/** The `sizes` of an element that is as wide as the page, up to `shownWidth` CSS pixels. */
export const sizesFor = (shownWidth: number): string => `(max-width: ${shownWidth}px) 100vw, ${shownWidth}px`

/** A `<source>` of a `<picture>`: the browser takes the first whose type it can show. */
export const sourceElement = (type: string, srcset: string, sizes: string): string =>
  `<source type="${type}" srcset="${escapeAttribute(srcset)}" sizes="${escapeAttribute(sizes)}">`

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '"': '&quot;', '<': '&lt;', '>': '&gt;' }
const escapeAttribute = (text: string): string => text.replace(/[&"<>]/g, (character) => ESCAPES[character] ?? '')

/** What a caller may say about an asset, judged: the same bounds at upload and at patch. */
import { z } from '@hono/zod-openapi'
import { type AssetDetails, VISIBILITIES } from '../core/asset.ts'

/** Longest name a common file system takes (ext4, APFS, NTFS: 255). */
const MAX_FILENAME_CHARS = 255
const MAX_TITLE_CHARS = 500
const MAX_DESCRIPTION_CHARS = 10_000
const MAX_TAGS = 64
const MAX_TAG_CHARS = 64

/** C0, DEL and C1 controls, and the characters that turn the direction of text and so disguise a name (Unicode TR 36 §3.1). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what has to go
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

const hasControls = (text: string): boolean => /[^\P{Cc}\t\n]/u.test(text)
const NO_CONTROLS = 'no control characters but line breaks and tabs'

/** Half a surrogate pair cannot be written as UTF-8: it becomes U+FFFD here, and not somewhere between us and the reader. */
const prose = (max: number) =>
  z
    .string()
    .max(max)
    .transform((text) => text.replace(/\r\n?/g, '\n').toWellFormed())
    .refine((text) => !hasControls(text), NO_CONTROLS)

/** One line: what breaks it becomes a space. */
export const line = (max: number) =>
  prose(max).transform((text) =>
    text
      .replace(/[\t\n]+/g, ' ')
      .replace(UNSAFE, '')
      .trim(),
  )

/** The last part of whatever path a client sends, so that `../../etc/passwd` is called `passwd`. */
const Filename = z
  .string()
  .max(4 * MAX_FILENAME_CHARS)
  .transform((text) => (text.split(/[/\\]/).at(-1) ?? '').replace(UNSAFE, '').toWellFormed().trim())
  .pipe(z.string().max(MAX_FILENAME_CHARS))
  .transform((name) => (name === '' || name === '.' || name === '..' ? null : name))

/**
 * No quotes, backslashes or commas: the first two bound a tag in its JSON text, the last parts tags in a form field.
 * Without flags, which a pattern in JSON Schema cannot have.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
const TAG = /^[^"\\,\u0000-\u001f\u007f-\u009f]+$/

const Tag = z
  .string()
  .trim()
  .regex(TAG, 'a tag has no quotes, backslashes, commas or control characters')
  .max(MAX_TAG_CHARS)
  .overwrite((text) => text.toWellFormed())

const Tags = z
  .array(Tag)
  .max(MAX_TAGS)
  .transform((tags) => [...new Set(tags)])

const Location = z.strictObject({ latitude: z.number().min(-90).max(90), longitude: z.number().min(-180).max(180) })

/** An instant with its offset, kept as UTC. */
const Instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text).toISOString())

/** Body of a PATCH: what is absent stays, null clears. */
export const DetailsPatch = z
  .strictObject({
    filename: Filename.nullable(),
    title: line(MAX_TITLE_CHARS).nullable(),
    description: prose(MAX_DESCRIPTION_CHARS).nullable(),
    visibility: z.enum(VISIBILITIES),
    tags: Tags.nullable(),
    location: Location.nullable(),
    taken_at: Instant.nullable(),
  })
  .partial()
export type DetailsPatch = z.infer<typeof DetailsPatch>

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `52.5,13.4` (latitude first, as in RFC 5870 `geo:`), or the JSON object. */
const LocationText = z.string().transform((text, context) => {
  const [, latitude, longitude] = /^\s*([-+]?[\d.]+)\s*,\s*([-+]?[\d.]+)\s*$/.exec(text) ?? []
  const value = latitude === undefined ? parseJson(text) : { latitude: Number(latitude), longitude: Number(longitude) }
  const parsed = Location.safeParse(value)
  if (parsed.success) return parsed.data
  context.addIssue('"latitude,longitude" in degrees, or JSON {"latitude":…,"longitude":…}')
  return z.NEVER
})

/** `a, b` or a JSON array. */
const TagsText = z
  .string()
  .max(MAX_TAGS * (MAX_TAG_CHARS + 4))
  .transform((text) => {
    const list = text.trimStart().startsWith('[') ? parseJson(text) : text.split(',').filter((tag) => tag.trim() !== '')
    return list as string[]
  })
  .pipe(Tags)

/** Details as text, from form fields or query parameters of an upload. An unknown name is a fault: somebody meant something. */
export const DetailsText = z
  .strictObject({
    filename: Filename,
    title: line(MAX_TITLE_CHARS),
    description: prose(MAX_DESCRIPTION_CHARS),
    visibility: z.enum(VISIBILITIES),
    tags: TagsText,
    location: LocationText,
    taken_at: Instant,
  })
  .partial()
export type DetailsText = z.infer<typeof DetailsText>

/** `details` with what the patch says; null clears. Visibility cannot be cleared. */
export const applyPatch = (details: AssetDetails, patch: DetailsPatch | DetailsText): AssetDetails => ({
  filename: patch.filename === undefined ? details.filename : patch.filename,
  title: patch.title === undefined ? details.title : patch.title || null,
  description: patch.description === undefined ? details.description : patch.description || null,
  visibility: patch.visibility ?? details.visibility,
  tags: patch.tags === undefined ? details.tags : (patch.tags ?? []),
  location: patch.location === undefined ? details.location : patch.location,
  takenAt: patch.taken_at === undefined ? details.takenAt : patch.taken_at,
})

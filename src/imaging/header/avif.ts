/** A still AVIF of one picture and at most its alpha plane (ISO 23008-12 §6, AV1 Image File Format §2); all else is left to libheif. */
import { type FileEnds, isWhole } from '../../core/file-ends.ts'
import { type AvifItems, readAvifItems } from '../avif-items.ts'
import { type Box, readBoxes } from '../iso-boxes.ts'
import type { Found, ReadFormat } from './found.ts'

const KNOWN_BOXES: ReadonlySet<string> = new Set(['ftyp', 'meta', 'mdat', 'free', 'skip'])
/** `clap` cuts the picture, layers choose one of several: not here. */
const KNOWN_PROPERTIES: ReadonlySet<string> = new Set([
  'ispe',
  'pixi',
  'av1C',
  'colr',
  'auxC',
  'pasp',
  'clli',
  'mdcv',
  'irot',
  'imir',
])
const EXIF_OFFSET_BYTES = 4

/** The boxes that an item's associations name; the first bit of each says whether it must be understood. */
const propertiesOf = ({ properties, associations }: AvifItems, item: number): Box[] =>
  associations
    .filter((association) => association.item === item)
    .flatMap(({ wide, count, raw }) =>
      Array.from({ length: count }, (_, i) => (wide ? raw.readUInt16BE(i * 2) & 0x7fff : raw.readUInt8(i) & 0x7f)),
    )
    .flatMap((index) => properties[index - 1] ?? [])

const only = (boxes: readonly Box[], type: string): Buffer | undefined => {
  const found = boxes.filter((box) => box.type === type)
  if (found.length > 1) throw new RangeError(`${found.length} properties ${type}`)
  return found[0]?.payload
}

/** The plane of the picture's transparency, if the only other picture is one. Null: there is another that is none. */
const alphaOf = ({ primary, items, references, payloads }: AvifItems): number | undefined | null => {
  const others = items.filter(({ id, type }) => id !== primary && type !== 'Exif' && type !== 'mime')
  const [other] = others
  if (!other) return undefined
  const isPlane = references.some(({ type, from, to }) => type === 'auxl' && from === other.id && to[0] === primary)
  return others.length === 1 && other.type === 'av01' && isPlane && payloads.has(other.id) ? other.id : null
}

const isAlphaPlane = (properties: readonly Box[]): boolean =>
  ['urn:mpeg:mpegB:cicp:systems:auxiliary:alpha', 'urn:mpeg:hevc:2015:auxid:1'].includes(
    only(properties, 'auxC')?.toString('latin1', 4).split('\0', 1)[0] ?? '',
  )

/** The one Exif item, behind the four bytes that say where its TIFF header is. Null: there are several, or it is odd. */
const exifOf = ({ items, payloads }: AvifItems): Buffer | undefined | null => {
  const found = items.filter(({ type }) => type === 'Exif')
  const payload = found[0] && payloads.get(found[0].id)
  if (found.length === 0) return undefined
  return found.length === 1 && payload && payload.length > EXIF_OFFSET_BYTES
    ? payload.subarray(EXIF_OFFSET_BYTES)
    : null
}

/** Bytes that a box outside of all others has beyond the end of the file; 0 where none has, or the boxes are odd. */
const missingBytes = ({ head, bytes }: FileEnds, step: () => void): number => {
  for (let at = 0; at + 8 <= head.length; ) {
    step()
    const size = head.readUInt32BE(at)
    // 0 and 1 stand for "to the end" and for a size of 64 bits.
    if (size < 8) return 0
    if (at + size > bytes) return at + size - bytes
    at += size
  }
  return 0
}

export const readAvif: ReadFormat = (file, step) => {
  const missing = missingBytes(file, step)
  if (missing > 0) return { missing: `${missing} bytes that its boxes promise` }
  if (!isWhole(file)) return undefined
  const boxes = readBoxes(file.head)
  const metas = boxes?.filter(({ type }) => type === 'meta') ?? []
  const [meta] = metas
  if (!boxes || !meta || metas.length > 1 || boxes.some(({ type }) => !KNOWN_BOXES.has(type))) return undefined
  return describe(readAvifItems(file.head, meta.payload))
}

const describe = (all: AvifItems): Found | undefined => {
  const picture = all.items.find(({ id }) => id === all.primary)
  const [alpha, exif] = [alphaOf(all), exifOf(all)]
  if (picture?.type !== 'av01' || (picture.flags & 1) !== 0 || !all.payloads.has(all.primary)) return undefined
  if (alpha === null || exif === null || all.properties.some(({ type }) => !KNOWN_PROPERTIES.has(type)))
    return undefined
  if (alpha !== undefined && !isAlphaPlane(propertiesOf(all, alpha))) return undefined
  const own = propertiesOf(all, all.primary)
  const [size, coding] = [only(own, 'ispe'), only(own, 'av1C')]
  const turn = (only(own, 'irot')?.readUInt8(0) ?? 0) & 3
  const profiles = own.filter(
    ({ type, payload }) => type === 'colr' && /^(prof|rICC)$/.test(payload.toString('latin1', 0, 4)),
  )
  if (!size || !coding || profiles.length > 1) return undefined
  const [width, height] = [size.readUInt32BE(4), size.readUInt32BE(8)]
  // AV1 in ISO base media §2.3: the third byte has tier, high bit depth, twelve bits, monochrome.
  const isDeep = (coding.readUInt8(2) & 0x40) !== 0
  return {
    width: turn % 2 ? height : width,
    height: turn % 2 ? width : height,
    upright: true,
    hasAlpha: alpha !== undefined,
    space: isDeep ? 'rgb16' : 'srgb',
    icc: profiles[0]?.payload.subarray(4),
    exif,
  }
}

/**
 * AVIF written anew from its picture and, where it has one, its alpha plane: coded bytes as they were, nothing else comes along
 * (ISO 23008-12, AV1 Image File Format §2). Whatever is not known to show the same with and without its surroundings is refused.
 */
import { type Association, type AvifItems, type Item, type Reference, readAvifItems } from './avif-items.ts'
import { type Box, fullBox, readBoxes, u16, u32, writeBox } from './iso-boxes.ts'

/** Outside of `meta`. A `moov` would be a sequence. */
const KNOWN_BOXES = new Set(['ftyp', 'meta', 'mdat', 'free', 'skip'])
/** Left out: turns, mirrors and crops (`irot`, `imir`, `clap`), layers. */
const KNOWN_PROPERTIES = new Set(['ispe', 'pixi', 'av1C', 'colr', 'auxC', 'pasp', 'clli', 'mdcv'])
const METADATA_ITEMS = new Set(['Exif', 'mime'])
const ALPHA = new Set(['urn:mpeg:mpegB:cicp:systems:auxiliary:alpha', 'urn:mpeg:hevc:2015:auxid:1'])
/**
 * Code points of H.273 that our decoder shows as browsers do: BT.709 or unsaid primaries; the BT.709 family of curves, sRGB, or
 * unsaid. Others (PQ, HLG, P3) a browser would show differently from a re-encoded variant.
 */
const PLAIN_PRIMARIES = new Set([1, 2])
const PLAIN_TRANSFERS = new Set([1, 2, 6, 13, 14, 15])

const isPlainColour = ({ type, payload }: Box): boolean =>
  type !== 'colr' ||
  payload.toString('latin1', 0, 4) !== 'nclx' ||
  (payload.length >= 8 && PLAIN_PRIMARIES.has(payload.readUInt16BE(4)) && PLAIN_TRANSFERS.has(payload.readUInt16BE(6)))

const isSquare = ({ type, payload }: Box): boolean =>
  type !== 'pasp' || (payload.length === 8 && payload.readUInt32BE(0) === payload.readUInt32BE(4))

const isAlpha = ({ type, payload }: Box): boolean =>
  type !== 'auxC' || ALPHA.has(payload.toString('latin1', 4).split('\0', 1)[0] ?? '')

const isPlain = (box: Box): boolean =>
  KNOWN_PROPERTIES.has(box.type) && isPlainColour(box) && isSquare(box) && isAlpha(box)

/** The primary item and its alpha plane; undefined where there is any other coded picture (grids, thumbnails, gain maps, depth). */
const keptItems = ({ primary, items, references, payloads }: AvifItems): Item[] | undefined => {
  const coded = items.filter(({ type }) => !METADATA_ITEMS.has(type))
  const isAlphaPlane = ({ id }: Item): boolean =>
    references.some(({ type, from, to }) => type === 'auxl' && from === id && to.length === 1 && to[0] === primary)
  const sound = coded.every(({ id, type }) => type === 'av01' && id < 2 ** 16 && payloads.has(id))
  const others = coded.filter(({ id }) => id !== primary)
  const known = sound && others.length === coded.length - 1 && others.length <= 1 && others.every(isAlphaPlane)
  return known ? coded : undefined
}

const writeEntry = ({ id, type, flags }: Item): Buffer =>
  writeBox('infe', fullBox(2, flags & 1), u16(id, 0), Buffer.from(`${type}\0`, 'latin1'))

const writeReference = ({ type, from, to }: Reference): Buffer => writeBox(type, u16(from, to.length, ...to))

const writeAssociations = (associations: readonly Association[]): Buffer[] =>
  [false, true].flatMap((wide) => {
    const same = associations.filter((association) => association.wide === wide)
    const entries = same.flatMap(({ item, count, raw }) => [u16(item), Buffer.of(count), raw])
    return same.length ? [writeBox('ipma', fullBox(0, wide ? 1 : 0), u32(same.length), ...entries)] : []
  })

/** `iloc` version 0: 32-bit offsets and lengths, one extent an item. */
const writeLocations = (extents: readonly { id: number; offset: number; length: number }[]): Buffer => {
  const entries = extents.flatMap(({ id, offset, length }) => [u16(id, 0, 1), u32(offset), u32(length)])
  return writeBox('iloc', fullBox(0), u16(0x4400, extents.length), ...entries)
}

const writeAvif = (ftyp: Buffer, read: AvifItems, kept: readonly Item[]): Buffer => {
  const isKept = (id: number): boolean => kept.some((item) => item.id === id)
  const payloads = kept.map(({ id }) => read.payloads.get(id) ?? Buffer.alloc(0))
  const references = read.references.filter(
    ({ type, from, to }) => (type === 'auxl' || type === 'prem') && isKept(from) && to.every(isKept),
  )
  const properties = read.properties.map(({ type, payload }) => writeBox(type, payload))
  const associations = writeAssociations(read.associations.filter(({ item }) => isKept(item)))
  const head = (start: number): Buffer => {
    let offset = start
    const extents = kept.map(({ id }, i) => {
      const length = payloads[i]?.length ?? 0
      offset += length
      return { id, offset: offset - length, length }
    })
    const meta = writeBox(
      'meta',
      fullBox(0),
      writeBox('hdlr', fullBox(0), u32(0), Buffer.from('pict'), Buffer.alloc(13)),
      writeBox('pitm', fullBox(0), u16(read.primary)),
      writeLocations(extents),
      writeBox('iinf', fullBox(0), u16(kept.length), ...kept.map(writeEntry)),
      ...(references.length ? [writeBox('iref', fullBox(0), ...references.map(writeReference))] : []),
      writeBox('iprp', writeBox('ipco', ...properties), ...associations),
    )
    return Buffer.concat([writeBox('ftyp', ftyp), meta])
  }
  // Offsets have a fixed width, so the head is as long with any of them. Eight: the head of `mdat`.
  return Buffer.concat([head(head(0).length + 8), writeBox('mdat', ...payloads)])
}

/** @returns undefined for what is not one plain still picture: sequences, grids, turned, layered, HDR, thumbnails, unsound. */
export const stripAvif = (bytes: Buffer): Buffer | undefined => {
  try {
    const boxes = readBoxes(bytes)
    const ftyp = boxes?.[0]
    const metas = boxes?.filter(({ type }) => type === 'meta')
    if (ftyp?.type !== 'ftyp' || !metas?.[0] || metas.length > 1) return undefined
    if (!boxes?.every(({ type }) => KNOWN_BOXES.has(type))) return undefined
    const read = readAvifItems(bytes, metas[0].payload)
    const kept = read.properties.every(isPlain) ? keptItems(read) : undefined
    return kept && writeAvif(ftyp.payload, read, kept)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

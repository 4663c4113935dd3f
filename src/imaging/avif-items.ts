/** The items of a still AVIF: what they are, where they lie, how they refer to each other (ISO 14496-12 §8.11). Pure. */
import { type Box, cursorOf, readBoxes } from './iso-boxes.ts'

export interface Item {
  readonly id: number
  readonly type: string
  /** Bit 0: not to be shown by itself. */
  readonly flags: number
}

export interface Reference {
  readonly type: string
  readonly from: number
  readonly to: readonly number[]
}

/** One item's properties (`ipma`): a raw list of indices into `ipco`, one byte each, or two where `wide`. */
export interface Association {
  readonly item: number
  readonly wide: boolean
  readonly count: number
  readonly raw: Buffer
}

export interface AvifItems {
  readonly primary: number
  readonly items: readonly Item[]
  /** The bytes of each item. */
  readonly payloads: ReadonlyMap<number, Buffer>
  readonly references: readonly Reference[]
  /** The boxes in `ipco`. */
  readonly properties: readonly Box[]
  readonly associations: readonly Association[]
}

/** A picture, its transparency, Exif, XMP and a thumbnail are five; a file with more is not one that we can be sure of. */
const MAX_ITEMS = 16
const MAX_EXTENTS = 64

const require = (holds: boolean, what: string): void => {
  if (!holds) throw new RangeError(what)
}

/** Version, then a cursor behind version and flags. */
const openFull = (payload: Buffer) => {
  const cursor = cursorOf(payload)
  const version = cursor.number(1)
  const flags = cursor.number(2) * 256 + cursor.number(1)
  return { version, flags, cursor }
}

const readItem = ({ type, payload }: Box): Item => {
  const { version, flags, cursor } = openFull(payload)
  require(type === 'infe' && (version === 2 || version === 3), `item entry ${type} version ${version}`)
  const id = cursor.number(version === 2 ? 2 : 4)
  require(cursor.number(2) === 0, 'a protected item')
  return { id, type: cursor.take(4).toString('latin1'), flags }
}

const readItems = (payload: Buffer): Item[] => {
  const { version, cursor } = openFull(payload)
  const count = cursor.number(version === 0 ? 2 : 4)
  const boxes = readBoxes(cursor.rest()) ?? []
  require(count === boxes.length && count <= MAX_ITEMS, `${count} items`)
  return boxes.map(readItem)
}

/** `iloc` (§8.11.3). Extents are in the file (construction 0) or in `idat` (1); through other items (2) is refused. */
const readPayloads = (payload: Buffer, file: Buffer, idat: Buffer): Map<number, Buffer> => {
  const { version, cursor } = openFull(payload)
  require(version <= 2, `iloc version ${version}`)
  const sizes = cursor.number(2)
  const [offsetSize, lengthSize, baseSize] = [sizes >> 12, (sizes >> 8) & 15, (sizes >> 4) & 15]
  const indexSize = version === 0 ? 0 : sizes & 15
  const count = cursor.number(version === 2 ? 4 : 2)
  require(count <= MAX_ITEMS, `${count} locations`)
  const payloads = new Map<number, Buffer>()
  for (let i = 0; i < count; i += 1) {
    const id = cursor.number(version === 2 ? 4 : 2)
    const construction = version === 0 ? 0 : cursor.number(2) & 15
    require(construction <= 1 && cursor.number(2) === 0, 'an item that lies elsewhere')
    const source = construction === 0 ? file : idat
    const base = cursor.number(baseSize)
    const extents = cursor.number(2)
    require(extents <= MAX_EXTENTS && !payloads.has(id), `${extents} extents`)
    const parts: Buffer[] = []
    for (let k = 0; k < extents; k += 1) {
      cursor.take(indexSize)
      const start = base + cursor.number(offsetSize)
      const length = cursor.number(lengthSize)
      require(length > 0 && start + length <= source.length, 'an extent beyond the end')
      parts.push(source.subarray(start, start + length))
    }
    require(parts.reduce((sum, part) => sum + part.length, 0) <= file.length, 'overlapping extents')
    payloads.set(id, Buffer.concat(parts))
  }
  return payloads
}

const readReferences = (payload: Buffer): Reference[] => {
  const { version, cursor } = openFull(payload)
  const idSize = version === 0 ? 2 : 4
  return (readBoxes(cursor.rest()) ?? []).map(({ type, payload: inside }) => {
    const reference = cursorOf(inside)
    const from = reference.number(idSize)
    const count = reference.number(2)
    require(count <= MAX_ITEMS, `${count} references`)
    return { type, from, to: Array.from({ length: count }, () => reference.number(idSize)) }
  })
}

const readAssociations = (payload: Buffer): Association[] => {
  const { version, flags, cursor } = openFull(payload)
  const wide = (flags & 1) === 1
  const count = cursor.number(4)
  require(count <= MAX_ITEMS, `${count} associations`)
  return Array.from({ length: count }, () => {
    const item = cursor.number(version === 0 ? 2 : 4)
    const indices = cursor.number(1)
    return { item, wide, count: indices, raw: cursor.take(indices * (wide ? 2 : 1)) }
  })
}

const only = (boxes: readonly Box[], type: string): Buffer | undefined => {
  const found = boxes.filter((box) => box.type === type)
  require(found.length <= 1, `${found.length} boxes ${type}`)
  return found[0]?.payload
}

const needed = (boxes: readonly Box[], type: string): Buffer => {
  const payload = only(boxes, type)
  if (!payload) throw new RangeError(`no box ${type}`)
  return payload
}

/** @throws RangeError where the structure is not sound or not one of a simple still picture. */
export const readAvifItems = (file: Buffer, meta: Buffer): AvifItems => {
  const boxes = readBoxes(openFull(meta).cursor.rest()) ?? []
  const primary = openFull(needed(boxes, 'pitm'))
  const properties = readBoxes(needed(boxes, 'iprp')) ?? []
  const references = only(boxes, 'iref')
  return {
    primary: primary.cursor.number(primary.version === 0 ? 2 : 4),
    items: readItems(needed(boxes, 'iinf')),
    payloads: readPayloads(needed(boxes, 'iloc'), file, only(boxes, 'idat') ?? Buffer.alloc(0)),
    references: references ? readReferences(references) : [],
    properties: readBoxes(needed(properties, 'ipco')) ?? [],
    associations: properties.filter(({ type }) => type === 'ipma').flatMap(({ payload }) => readAssociations(payload)),
  }
}

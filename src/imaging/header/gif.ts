/** GIF (GIF89a §18–27), walked from block to block to count its frames as libnsgif does. */
import { isWhole } from '../../core/file-ends.ts'
import type { ReadFormat } from './found.ts'

const EXTENSION = 0x21
const IMAGE = 0x2c
const TRAILER = 0x3b
const GRAPHIC_CONTROL = 0xf9
const SCREEN_BYTES = 13
const IMAGE_BYTES = 10
const HAS_TRANSPARENCY = 1

const paletteBytes = (packed: number): number => (packed & 0x80 ? 3 << ((packed & 7) + 1) : 0)

/** libnsgif takes these for the screens of those who made the picture, and uses the first frame's size instead. */
const DOUBTED_SCREENS: ReadonlySet<string> = new Set(['640x480', '800x600', '1024x768', '1280x1024', '1600x1200'])
const MAX_SCREEN_SIDE = 2048

export const readGif: ReadFormat = (file, step) => {
  if (!isWhole(file)) return undefined
  const { head } = file
  const [width, height] = [head.readUInt16LE(6), head.readUInt16LE(8)]
  if (DOUBTED_SCREENS.has(`${width}x${height}`) || Math.max(width, height) > MAX_SCREEN_SIDE) return undefined
  let at = SCREEN_BYTES + paletteBytes(head.readUInt8(10))
  let pages = 0
  let hasAlpha = false
  const passBlocks = (from: number): number => {
    let next = from
    for (let length = head.readUInt8(next); length > 0; length = head.readUInt8(next)) {
      step()
      next += 1 + length
    }
    return next + 1
  }
  for (;;) {
    step()
    const kind = head.readUInt8(at)
    if (kind === TRAILER) break
    if (kind === EXTENSION) {
      const isControl = head.readUInt8(at + 1) === GRAPHIC_CONTROL
      if (isControl && head.readUInt8(at + 2) !== 4) return undefined
      if (isControl && head.readUInt8(at + 3) & HAS_TRANSPARENCY) hasAlpha = true
      at = passBlocks(at + 2)
    } else if (kind === IMAGE) {
      const [left, top] = [head.readUInt16LE(at + 1), head.readUInt16LE(at + 3)]
      const [across, down] = [head.readUInt16LE(at + 5), head.readUInt16LE(at + 7)]
      // A frame beyond the screen enlarges it in some decoders.
      if (across === 0 || down === 0 || left + across > width || top + down > height) return undefined
      const data = at + IMAGE_BYTES + paletteBytes(head.readUInt8(at + 9))
      const codeSize = head.readUInt8(data)
      const end = passBlocks(data + 1)
      if (codeSize < 2 || codeSize > 8 || end === data + 2) return undefined
      at = end
      pages += 1
    } else return undefined
  }
  return pages > 0 ? { width, height, pages, hasAlpha, space: 'srgb' } : undefined
}

import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, it } from 'vitest'
import { refusal, SNIFF_BYTES, sniff } from '../../src/imaging/sniff.ts'
import { corners, corpus } from './pictures.ts'

const ftyp = (major: string, ...compatible: string[]): Buffer => {
  const box = Buffer.from(`\0\0\0\0ftyp${major}\0\0\0\0${compatible.join('')}`, 'latin1')
  box.writeUInt32BE(box.length, 0)
  return box
}

describe('sniffing', () => {
  it.for(['jpeg', 'png', 'webp', 'gif', 'avif', 'tiff'] as const)('recognises %s by its bytes', async (format) => {
    const bytes = await corners(16, 16).toFormat(format).toBuffer()
    expect(sniff(bytes.subarray(0, SNIFF_BYTES))).toEqual({ kind: 'image', format })
  })

  it.for([
    ['a bare root', '<svg xmlns="http://www.w3.org/2000/svg"/>'],
    ['a byte order mark and white space', '\uFEFF \n<svg >'],
    [
      'a declaration, a comment and a doctype',
      '<?xml version="1.0"?><!-- <html> --><!DOCTYPE svg PUBLIC "a" "b"><svg>',
    ],
    ['a doctype with entities', '<!DOCTYPE svg [ <!ENTITY ns "http://x"> ]><svg>'],
    ['a prefixed root', '<svg:svg xmlns:svg="http://www.w3.org/2000/svg">'],
  ])('takes as SVG text with %s', ([, text]) => {
    expect(sniff(Buffer.from(text ?? ''))).toEqual({ kind: 'image', format: 'svg' })
  })

  it.for([
    ['empty', Buffer.alloc(0)],
    ['HEIC', ftyp('heic', 'mif1')],
    ['HEIC', ftyp('mif1', 'heic')],
    ['AVIF image sequence', ftyp('avis', 'avif', 'msf1')],
    ['MP4', ftyp('isom', 'mp41')],
    ['JPEG XL codestream', Buffer.from([0xff, 0x0a, 0, 0])],
    ['JPEG XL picture', Buffer.from('0000000c4a584c200d0a870a', 'hex')],
    ['JPEG 2000', Buffer.from('0000000c6a5020200d0a870a', 'hex')],
    ['BMP', Buffer.from('BM000000')],
    ['ICO', Buffer.from([0, 0, 1, 0, 1, 0])],
    ['CUR', Buffer.from([0, 0, 2, 0, 1, 0])],
    ['PSD', Buffer.from('8BPS\0\x01')],
    ['PDF', Buffer.from('%PDF-1.7')],
    ['SVGZ', Buffer.from([0x1f, 0x8b, 8, 0])],
    ['MVG', Buffer.from('push graphic-context\nviewbox 0 0 640 480')],
    ['HTML', Buffer.from('<!doctype html><svg></svg>')],
    ['XML, but not SVG', Buffer.from('<?xml version="1.0"?><data><svg/></data>')],
    ['plain text', Buffer.from('hello <svg>')],
    ['no known kind', Buffer.from([1, 2, 3, 4, 5])],
  ] as const)('refuses by the name %s', ([name, head]) => {
    const sniffed = sniff(head)
    expect(sniffed.kind).toBe('refused')
    expect(sniffed.kind === 'refused' && refusal(sniffed.what)).toContain(name)
  })

  it.for(corpus('valid', /\.(heic|jxl|ico|bmp|jp2)$/))(
    'refuses %s, a sound file of a kind we cannot decode',
    (path) => {
      expect(sniff(readFileSync(path).subarray(0, SNIFF_BYTES)), basename(path)).toMatchObject({ kind: 'refused' })
    },
  )
})

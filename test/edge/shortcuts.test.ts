import { describe, expect, it } from 'vitest'
import { EDGE_PROGRAM } from '../../edge/generate/key.ts'
import { evaluate } from '../../edge/generate/program.ts'
import { withShortcuts } from '../../edge/generate/shortcuts.ts'
import { SOME_HASH, tails, thousandSets } from './header-sets.ts'

const ODD_TAILS = [
  '0x.webp',
  'x.jpg',
  '800x600.jpeg',
  '800x.WEBP',
  '800x.bmp',
  'autox.webp',
  '800x.webp/',
  '800x.webp?',
]

describe('the program with shortcuts', () => {
  it.for([...tails, ...ODD_TAILS])('makes the same key of %s and the thousand header sets', (tail) => {
    const short = withShortcuts(EDGE_PROGRAM)
    const target = `/i/${SOME_HASH}/${tail}`
    for (const set of thousandSets) {
      const read = (input: string): string => {
        const source = EDGE_PROGRAM.inputs[input] ?? ''
        return source === ':target' ? target : (set[source] ?? '')
      }
      expect([set, evaluate(short, read)]).toEqual([set, evaluate(EDGE_PROGRAM, read)])
    }
  })
})

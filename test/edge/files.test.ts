import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { GENERATED_FILES } from '../../edge/generate/files.ts'

describe('what is committed of the edges', () => {
  it.for(Object.keys(GENERATED_FILES))('%s is what `npm run edge` makes of today’s tables', (path) => {
    expect(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')).toBe(GENERATED_FILES[path])
  })
})

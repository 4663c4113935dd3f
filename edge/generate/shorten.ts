/** Patterns with what repeats in them taken out: CloudFront takes functions of 10 KB (quota "maximum function size"), and ours has 120 patterns. */
import type { Program } from './program.ts'

export interface Shortened {
  /** Pattern texts that `<0`, `<1`, … `<z` stand for. */
  readonly fragments: readonly string[]
  /** The pattern as a literal, with those marks in it. */
  readonly print: (pattern: RegExp) => string
}

const MIN_CHARS = 6
const MAX_CHARS = 60
/** One character each, in base 36. */
const MAX_FRAGMENTS = 36

/** Candidates looked at closely in each round: by a first estimate, the best. */
const TRIED = 200

/** A fragment and what is left without it have to be patterns of their own, since both are written as literals. */
const isPattern = (text: string): boolean => {
  try {
    return new RegExp(text).source === text
  } catch {
    return false
  }
}

const fragmentsOf = (text: string): readonly string[] => {
  const found = new Set<string>()
  for (let from = 0; from < text.length; from++)
    for (let length = MIN_CHARS; length <= MAX_CHARS && from + length <= text.length; length++) {
      const fragment = text.slice(from, from + length)
      if (text[from - 1] !== '<' && text[from - 1] !== '\\') found.add(fragment)
    }
  return [...found]
}

/** Takes out the fragment that saves most, again and again. Fragments hold no marks, so that one pass puts them back. */
export const shorten = (program: Program): Shortened => {
  const sources = program.tables.flatMap((table) =>
    table.kind === 'lookup' ? table.rows.flatMap(([test]) => (typeof test === 'string' ? [] : [test.source])) : [],
  )
  const texts = new Map(sources.map((source) => [source, source]))
  const uses = (fragment: string): number =>
    sources.reduce((sum, source) => sum + (texts.get(source) ?? '').split(fragment).length - 1, 0)
  const fragments: string[] = []
  while (fragments.length < MAX_FRAGMENTS) {
    const counts = new Map<string, number>()
    for (const source of sources)
      for (const fragment of fragmentsOf(texts.get(source) ?? ''))
        if (!fragment.includes('<')) counts.set(fragment, (counts.get(fragment) ?? 0) + 1)
    // Two characters for each use, and the fragment itself with its line.
    const saving = (fragment: string): number => uses(fragment) * (fragment.length - 2) - fragment.length - 6
    const best = [...counts]
      .filter(([fragment, count]) => count * (fragment.length - 2) > fragment.length)
      .sort(([one, oneCount], [two, twoCount]) => twoCount * (two.length - 2) - oneCount * (one.length - 2))
      .slice(0, TRIED)
      .map(([fragment]) => ({ fragment, saves: saving(fragment) }))
      .sort((one, two) => two.saves - one.saves)
      .find(
        ({ fragment, saves }) =>
          saves > 0 &&
          isPattern(fragment) &&
          sources.every((source) => isPattern((texts.get(source) ?? '').replaceAll(fragment, '<0'))),
      )
    if (!best) break
    const mark = `<${fragments.length.toString(36)}`
    fragments.push(best.fragment)
    for (const source of sources) texts.set(source, (texts.get(source) ?? '').replaceAll(best.fragment, mark))
  }
  return { fragments, print: (pattern) => `/${texts.get(pattern.source) ?? pattern.source}/${pattern.flags}` }
}

/** What every part of the benchmark is given, and what it gives back. */
import type { Section } from './row.ts'

export interface PartContext {
  /** Fewer and shorter rounds: to see that all works, not to be quoted. */
  readonly quick: boolean
  readonly log: (text: string) => void
}

export type Part = (context: PartContext) => Promise<readonly Section[]>

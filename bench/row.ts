/** One line of the result: a figure, what it is compared with, and the target it has to meet. */
import { pairedRatio, type Spread, spread } from './statistics.ts'

/** What is held against the bound: the ratio to the reference, or our own figure. */
export interface Target {
  readonly of: 'ratio' | 'ours'
  readonly atLeast?: number
  readonly atMost?: number
}

export interface Row {
  readonly what: string
  readonly unit: string
  readonly ours: Spread
  /** Absent where a figure stands for itself. */
  readonly reference?: Spread
  readonly ratio?: Spread
  readonly target?: Target
  /** Absent without a target. */
  readonly met?: boolean
  readonly note?: string
}

interface Compared {
  readonly what: string
  readonly unit: string
  readonly ours: readonly number[]
  readonly reference: readonly number[]
  readonly target?: Target
  readonly note?: string
}

const isMet = ({ atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY }: Target, value: number) =>
  value >= atLeast && value <= atMost

/** @param compared figures of neighbouring measurements under one index. The median ratio is what a target looks at. */
export const comparedRow = ({ ours, reference, target, ...rest }: Compared): Row => {
  const ratio = pairedRatio(ours, reference)
  const judged = target?.of === 'ours' ? spread(ours).median : ratio.median
  return {
    ...rest,
    ours: spread(ours),
    reference: spread(reference),
    ratio,
    ...(target && { target, met: isMet(target, judged) }),
  }
}

/** @returns a function that makes rows of figures picked from neighbouring slices, each named `prefix` and what it is. */
export const rowsAbout =
  <T>(slices: { readonly ours: readonly T[]; readonly reference: readonly T[] }, prefix = '') =>
  (what: string, unit: string, pick: (slice: T) => number, more: Pick<Compared, 'target' | 'note'> = {}): Row =>
    comparedRow({
      what: `${prefix}${what}`,
      unit,
      ours: slices.ours.map(pick),
      reference: slices.reference.map(pick),
      ...more,
    })

interface Plain {
  readonly what: string
  readonly unit: string
  readonly ours: readonly number[]
  readonly target?: Target
  readonly note?: string
}

/** A figure without a reference; a target looks at its median. */
export const plainRow = ({ ours, target, ...rest }: Plain): Row => ({
  ...rest,
  ours: spread(ours),
  ...(target && { target, met: isMet(target, spread(ours).median) }),
})

/** Rows of one part, under its heading, with what the reference of its rows is. */
export interface Section {
  readonly title: string
  readonly reference: string
  readonly rows: readonly Row[]
  /** Share of the machine, 0…1, that processes outside the benchmark took meanwhile. */
  readonly disturbance?: number
}

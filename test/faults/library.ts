/** The pictures of the load: what was acknowledged, what is hidden, and what each must look like. */
import { picture } from '../fixtures/write-path.ts'
import type { Colour } from './answers.ts'

export interface Shown {
  readonly id: string
  readonly hash: string
  readonly colour: Colour
}

const SIDES = { width: 640, height: 480 } as const

/** Knuth's multiplicative hash (TAOCP 6.4): neighbours get colours that nobody takes for each other. */
const scatter = (seed: number): number => (Math.imul(seed + 1, 2_654_435_761) >>> 8) & 0xffffff

export interface NewPicture {
  readonly bytes: Buffer<ArrayBuffer>
  readonly colour: Colour
}

/** A plain picture of a colour of its own. */
export const makePicture = async (seed: number): Promise<NewPicture> => {
  const rgb = scatter(seed)
  const bytes = await picture(rgb, SIDES.width, SIDES.height)
  return { bytes, colour: { r: rgb & 255, g: (rgb >> 8) & 255, b: (rgb >> 16) & 255 } }
}

export interface Library {
  /** Live, acknowledged, and not about to be deleted. */
  readonly live: Shown[]
  /** Hashes whose delete was sent. */
  readonly ending: Set<string>
  /** Deletes that returned. */
  readonly hidden: Shown[]
  next(): Promise<NewPicture>
}

export const createLibrary = (): Library => {
  let seed = 0
  return { live: [], ending: new Set(), hidden: [], next: () => makePicture(seed++) }
}

export const anyOf = <T>(list: readonly T[]): T | undefined => list[Math.floor(Math.random() * list.length)]

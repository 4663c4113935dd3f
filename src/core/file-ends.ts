/** What stays in memory of a file that has just been received, so that its header can be read without opening it again. */
export interface FileEnds {
  /** The first bytes; the whole file where it is small. */
  readonly head: Buffer
  /** The last bytes. Of a file that is whole in `head`, the same bytes. */
  readonly tail: Buffer
  /** Of the whole file. */
  readonly bytes: number
}

export const isWhole = ({ head, bytes }: FileEnds): boolean => head.length === bytes

/** What crosses between the store of originals and its threads. */

export interface NewFile {
  /** Where it is written before it has all its bytes. */
  readonly path: string
  /** Has the file's bytes in front. Goes to the thread, and comes back with the answer. */
  readonly slab: Uint8Array
  readonly bytes: number
  readonly to: string
}

/** On the disk under the name `to` before the answer: the bytes, and the folder that has got the name. */
export type DiskJob =
  | ({ readonly kind: 'store' } & NewFile)
  /** Of a file whose bytes are on the disk already. */
  | { readonly kind: 'move'; readonly path: string; readonly to: string }

/** `code` is the system's, such as `ENOSPC`. */
export type DiskReply =
  | { readonly kind: 'done'; readonly slab?: Uint8Array }
  | { readonly kind: 'failed'; readonly message: string; readonly code: string }

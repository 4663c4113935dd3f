/** What crosses between the store of originals and its threads. */

export interface Move {
  readonly from: string
  readonly to: string
}

export type DiskJob =
  /** A new file of the slab's first bytes, on the disk before the answer. The slab goes to the thread, and comes back with the answer. */
  | { readonly kind: 'write'; readonly path: string; readonly slab: Uint8Array; readonly bytes: number }
  /** All moved, and every folder that got a name synced, before the answer. */
  | { readonly kind: 'publish'; readonly moves: readonly Move[] }

/** `code` is the system's, such as `ENOSPC`. */
export type DiskReply =
  | { readonly kind: 'done'; readonly slab?: Uint8Array }
  | { readonly kind: 'failed'; readonly message: string; readonly code: string }

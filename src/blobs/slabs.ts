/** Memory that uploads are received into, used again and again: fresh memory for each would be 200 MB/s of garbage at 1,400 uploads a second. */

/** Holds most photos of the web whole, so that they are written by one call and their header is read where they lie. */
export const SLAB_BYTES = 256 * 1024
/** Kept for the next uploads: 16 MB. More are made when more uploads are under way (`ingest/admission` bounds them), and let go after. */
const KEPT_SLABS = 64

export interface Slabs {
  /** `SLAB_BYTES` of memory of their own, with whatever an earlier upload left in it. */
  take(): Buffer
  /** Nobody may look at it any more. */
  giveBack(slab: Buffer): void
}

export const createSlabs = (): Slabs => {
  const free: Buffer[] = []
  return {
    // Not of Node's shared pool: the memory is handed to a thread and back.
    take: () => free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES),
    giveBack: (slab) => {
      if (free.length < KEPT_SLABS && slab.length === SLAB_BYTES) free.push(slab)
    },
  }
}

/** The stores that the schedules are tried on keep the same contracts as the real ones. */
import { originalStoreContract } from '../contract/original-store.ts'
import { variantStoreContract } from '../contract/variant-store.ts'
import { createMemoryOriginals, createMemoryVariants } from '../fixtures/memory-blobs.ts'

originalStoreContract('memory', async () => ({
  store: createMemoryOriginals(),
  [Symbol.asyncDispose]: async () => undefined,
}))

variantStoreContract('memory', async () => ({
  store: createMemoryVariants(),
  [Symbol.asyncDispose]: async () => undefined,
}))

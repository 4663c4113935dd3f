/**
 * The reconciler: holds the store against the rows, both ways, in one walk. Both are read in the order of their digests and merged, so that
 * memory is constant and a remote store is asked for pages, not for each original. The world goes on meanwhile: what looks wrong is looked
 * at again under the digest's lock, which uploads and removals take, and only then counted and repaired.
 */
import type { OriginalLister, OriginalStore, StoredOriginal, VariantLister, VariantStore } from '../blobs/store.ts'
import type { ChangeNotices, Locker } from '../coordination/coordination.ts'
import type { OriginalFault } from '../core/asset.ts'
import type { Digest } from '../core/ids.ts'
import { findCondition, type OriginalRow, pageOriginals, setFault } from '../metadata/condition.ts'
import type { Metadata } from '../metadata/database.ts'
import { findOriginal, withoutRow } from '../metadata/originals.ts'
import { findQuarantined } from '../metadata/quarantine.ts'
import { createPace, type Pace } from './pace.ts'
import type { Purging } from './purge.ts'

/**
 * `orphan`: bytes without a row, older than the grace; repaired by quarantine. `missing`, `damaged`: a row whose bytes are absent, or of another
 * size; repaired by marking the row, so that nothing is served of them until they are uploaded again. `sound`: a row marked as missing
 * whose bytes are back; repaired by taking the mark away. `variants`: of a hash that has no row and is not in quarantine; repaired by removing them.
 */
export const FINDINGS = ['orphan', 'missing', 'damaged', 'sound', 'variants'] as const
export type FindingKind = (typeof FINDINGS)[number]

export interface Finding {
  readonly kind: FindingKind
  readonly digest: Digest
  readonly repaired: boolean
}

export interface ReconcileReport {
  readonly dryRun: boolean
  readonly startedAt: string
  /** Null while it runs. */
  finishedAt: string | null
  /** Looked at. */
  stored: number
  rows: number
  variants: number
  /** In quarantine: no fault. */
  quarantined: number
  readonly found: Record<FindingKind, number>
  repaired: number
  /** The first of them. */
  readonly findings: Finding[]
}

export interface ReconcilePorts {
  readonly metadata: Metadata
  readonly originals: OriginalStore & OriginalLister
  readonly variants: Pick<VariantStore, 'removeOf'>
  readonly variantLister: VariantLister
  readonly locker: Locker
  readonly notices: ChangeNotices
  readonly purging: Purging
  /** Bytes younger than this may belong to an upload that is not through. */
  readonly graceMs: number
}

/** Rows asked for at once. */
const PAGE = 500
/** Originals, rows and variants a second: some 5 % of a core, and 5 M originals in 25 minutes. */
const PER_SECOND = 10_000
/** Findings told one by one; the rest is counted. */
const MAX_FINDINGS = 1_000

/** @param onStart is given the report, which fills while the walk goes on. */
export type Reconcile = (
  dryRun: boolean,
  signal: AbortSignal,
  onStart?: (report: ReconcileReport) => void,
) => Promise<ReconcileReport>

export const createReconcile =
  (ports: ReconcilePorts): Reconcile =>
  async (dryRun, signal, onStart) => {
    await using _lease = await ports.locker.acquire('reconcile', signal)
    const report: ReconcileReport = {
      dryRun,
      startedAt: new Date().toISOString(),
      finishedAt: null,
      stored: 0,
      rows: 0,
      variants: 0,
      quarantined: 0,
      found: { orphan: 0, missing: 0, damaged: 0, sound: 0, variants: 0 },
      repaired: 0,
      findings: [],
    }
    onStart?.(report)
    const note = (kind: FindingKind, digest: Digest): void => {
      report.found[kind] += 1
      if (!dryRun) report.repaired += 1
      if (report.findings.length < MAX_FINDINGS) report.findings.push({ kind, digest, repaired: !dryRun })
    }
    const walk = { ports, report, note, pace: createPace(PER_SECOND), signal }
    await compare(walk)
    await strayVariants(walk)
    report.finishedAt = new Date().toISOString()
    return report
  }

interface Walk {
  readonly ports: ReconcilePorts
  readonly report: ReconcileReport
  readonly note: (kind: FindingKind, digest: Digest) => void
  readonly pace: Pace
  readonly signal: AbortSignal
}

/** Merges two streams that are in the order of their digests. */
const compare = async (walk: Walk): Promise<void> => {
  const { ports, report, pace, signal } = walk
  const stored = ports.originals.list()[Symbol.asyncIterator]()
  const rows = allRows(ports.metadata)
  try {
    let [file, row] = [(await stored.next()).value, (await rows.next()).value] as [
      StoredOriginal | undefined,
      OriginalRow | undefined,
    ]
    while (file || row) {
      await pace.spend(1, signal)
      const order = !file ? 1 : !row ? -1 : file.digest < row.digest ? -1 : file.digest > row.digest ? 1 : 0
      if (file && order < 0) await judgeFile(walk, file)
      else if (row) await judgeRow(walk, row, order === 0 ? file?.bytes : undefined)
      if (order <= 0) {
        report.stored += 1
        file = (await stored.next()).value
      }
      if (order >= 0) {
        report.rows += 1
        row = (await rows.next()).value
      }
    }
  } finally {
    await stored.return?.()
  }
}

async function* allRows(metadata: Metadata): AsyncGenerator<OriginalRow, undefined> {
  for (let after = ''; ; ) {
    const page = await pageOriginals(metadata.search, after, PAGE)
    yield* page
    const last = page.at(-1)
    if (!last || page.length < PAGE) return undefined
    after = last.digest
  }
}

const judgeFile = async ({ ports, report, note, signal }: Walk, file: StoredOriginal): Promise<void> => {
  if (file.storedAt.getTime() > Date.now() - ports.graceMs) return
  const { read } = ports.metadata
  if (await findOriginal(read, file.digest)) return
  if (await findQuarantined(read, file.digest)) {
    report.quarantined += 1
    return
  }
  if (report.dryRun || (await ports.purging.setAside(file.digest, signal))) note('orphan', file.digest)
}

const judgeRow = async (walk: Walk, row: OriginalRow, listed: number | undefined): Promise<void> => {
  if (listed === row.bytes && row.fault !== 'missing') return
  const { ports, report, note, signal } = walk
  const { metadata, originals, locker, notices } = ports
  await using _lease = await locker.acquire(`digest:${row.digest}`, signal)
  const condition = await findCondition(metadata.read, row.digest)
  if (!condition) return
  const size = await originals.size(row.digest)
  const fault: OriginalFault | null = size === undefined ? 'missing' : size !== row.bytes ? 'damaged' : null
  // Of the right size is not sound where a scrub has found other bytes.
  if (fault === condition.fault || (fault === null && condition.fault === 'damaged')) return
  if (!report.dryRun) {
    await metadata.transaction((transaction) => setFault(transaction, row.digest, fault))
    await notices.publish(row.digest)
  }
  note(fault ?? 'sound', row.digest)
}

const strayVariants = async (walk: Walk): Promise<void> => {
  const { ports, report, pace, signal } = walk
  let batch = new Set<Digest>()
  for await (const digest of ports.variantLister.digests()) {
    await pace.spend(1, signal)
    report.variants += 1
    batch.add(digest)
    if (batch.size < PAGE) continue
    await judgeVariants(walk, [...batch])
    batch = new Set()
  }
  await judgeVariants(walk, [...batch])
}

const judgeVariants = async ({ ports, report, note, signal }: Walk, digests: readonly Digest[]): Promise<void> => {
  const { metadata, variants, locker } = ports
  for (const digest of await withoutRow(metadata.search, digests)) {
    await using _lease = await locker.acquire(`digest:${digest}`, signal)
    if ((await findOriginal(metadata.read, digest)) || (await findQuarantined(metadata.read, digest))) continue
    if (!report.dryRun) await variants.removeOf(digest)
    note('variants', digest)
  }
}

/**
 * An owner's changes in pages. Every change is told, each once and in order, none merged with another; but what is told of the
 * asset is how it is now, since rows keep no past. So a device that does what each change says (put `asset` in place; drop it on `deleted`;
 * nothing where there is neither, for then a deletion follows) ends with exactly the server's state: after the last change of an asset
 * nothing has happened to it. It may start again from any cursor, and hear a change twice, for the same reason.
 *
 * Changes are kept for a time (`metadata/changes.ts`). Who has no cursor and comes later than that is told every live asset once, as
 * `added`, and then what has happened since that began: the same state by a shorter way.
 */
import type { Asset } from '../core/asset.ts'
import { AppError } from '../core/errors.ts'
import type { AssetId, OwnerId } from '../core/ids.ts'
import type { ChangeKind } from '../metadata/assets.ts'
import { findChangesSince, findLiveAssets, readChanges, readFloor, readHead } from '../metadata/changes.ts'
import type { Metadata } from '../metadata/database.ts'
import { listAssets } from '../metadata/listing.ts'
import type { Position, Since } from './cursor.ts'

export interface ToldChange {
  /** Where a device stands that has heard this one. */
  readonly position: Position
  readonly kind: ChangeKind
  readonly assetId: AssetId
  readonly at: Date
  /** As it is now; undefined where it is not live now. */
  readonly asset: Asset | undefined
}

export interface Page {
  readonly changes: readonly ToldChange[]
  readonly next: Position
  readonly hasMore: boolean
}

export interface Feed {
  /** @throws AppError `gone` where changes of that time are no longer kept. */
  locate(ownerId: OwnerId, since: Since): Promise<Position>
  /** @throws AppError `gone` where changes behind the position are no longer kept, or it is ahead of the newest (rows were set back). */
  page(ownerId: OwnerId, position: Position, limit: number): Promise<Page>
}

const SNAPSHOT_ORDER = { filter: { state: 'live' }, sort: 'created_at', descending: false } as const

export const createFeed = ({ search }: Pick<Metadata, 'search'>): Feed => {
  const locate = async (ownerId: OwnerId, since: Since): Promise<Position> => {
    switch (since.kind) {
      case 'log':
      case 'snapshot':
        return since
      case 'time': {
        const seq = await findChangesSince(search, ownerId, since.at)
        if (seq === undefined) throw tooOld()
        return { kind: 'log', seq }
      }
      case 'start':
        if (!(await readFloor(search))) return { kind: 'log', seq: 0 }
        return { kind: 'snapshot', seq: await readHead(search), after: undefined }
      default:
        return since satisfies never
    }
  }

  const logPage = async (ownerId: OwnerId, after: number, limit: number): Promise<Page> => {
    // First: what is committed later has a larger number, so up to here the page misses nothing.
    const upTo = await readHead(search)
    if (after > upTo)
      throw new AppError(
        'gone',
        `since: this cursor is ahead of what is stored here, which was set back. ${START_AGAIN}`,
      )
    const found = await readChanges(search, ownerId, { after, upTo, limit: limit + 1 })
    const shown = found.slice(0, limit)
    const assets = await findLiveAssets(search, [
      ...new Set(shown.filter(({ kind }) => kind !== 'deleted').map(({ assetId }) => assetId)),
    ])
    // Last: what was cut meanwhile may be missing above.
    const floor = await readFloor(search)
    if (floor && after < floor.seq) throw tooOld()
    const last = found.length > limit ? shown.at(-1) : undefined
    return {
      changes: shown.map(({ seq, kind, assetId, at }) => ({
        position: { kind: 'log', seq },
        kind,
        assetId,
        at,
        asset: kind === 'deleted' ? undefined : assets.get(assetId),
      })),
      next: { kind: 'log', seq: last?.seq ?? upTo },
      hasMore: last !== undefined,
    }
  }

  const snapshotPage = async (
    ownerId: OwnerId,
    from: Position & { kind: 'snapshot' },
    limit: number,
  ): Promise<Page> => {
    const { seq, after } = from
    const found = await listAssets(search, { ...SNAPSHOT_ORDER, ownerId, after, limit: limit + 1 })
    const changes = found.slice(0, limit).map((asset) => ({
      position: { kind: 'snapshot' as const, seq, after: { value: asset.createdAt.getTime(), id: asset.id } },
      kind: 'added' as const,
      assetId: asset.id,
      at: asset.updatedAt,
      asset,
    }))
    const last = found.length > limit ? changes.at(-1) : undefined
    // The changes since the snapshot began are still to come.
    return { changes, next: last?.position ?? { kind: 'log', seq }, hasMore: true }
  }

  return {
    locate,
    page: (ownerId, position, limit) =>
      position.kind === 'log' ? logPage(ownerId, position.seq, limit) : snapshotPage(ownerId, position, limit),
  }
}

const START_AGAIN = 'Forget what you hold and start again without `since`'

const tooOld = (): AppError => new AppError('gone', `since: changes of that time are no longer kept. ${START_AGAIN}`)

/** What the library needs of the rest. */
import type { ChangeNotices } from '../coordination/coordination.ts'
import type { AssetUrls, DescribeAsset } from '../http/asset-document.ts'
import type { Guards } from '../http/principal.ts'
import type { Quota } from '../http/quota.ts'
import type { Metadata } from '../metadata/database.ts'
import type { Outbox } from '../metadata/outbox.ts'
import type { Challenges } from './challenge.ts'

export interface LibraryDeps {
  readonly metadata: Metadata
  readonly notices: ChangeNotices
  readonly outbox: Outbox
  readonly guards: Guards
  readonly quota: Quota
  readonly challenges: Challenges
  readonly describe: DescribeAsset
  readonly urls: AssetUrls
  /** Widths served without a signature, ascending. */
  readonly ladder: readonly number[]
  /** The steps of a srcset whose caller names none; on the ladder. */
  readonly srcsetWidths: readonly number[]
  /** The widest that a picture is shown where the caller does not say, in CSS pixels; on the ladder. */
  readonly defaultWidth: number
  /** Names of the presets that delivery knows. */
  readonly presets: ReadonlySet<string>
}

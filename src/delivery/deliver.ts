/**
 * The read path. A URL and the client's headers become one variant: admitted, negotiated, planned, then found in a tier or
 * rendered. No HTTP here but the words of negotiation; no SQL, no pixels.
 */
import { type VariantKey, variantKey } from '../core/ids.ts'
import { type Admitted, admit } from './admission.ts'
import { matchesEtag, mayNameVariant, namesEtag, requireMatch, variantEtag } from './headers.ts'
import type { NegotiatedClass } from './negotiate.ts'
import type { Obtained, Wanted } from './obtain.ts'
import type { PlannedVariant } from './plan.ts'
import type { VariantRoute } from './route.ts'
import type { StrangerBudget } from './stranger-budget.ts'
import type { KnownSubject, Subjects } from './subjects.ts'

export interface DeliverPorts {
  readonly subjects: Pick<Subjects, 'find'>
  readonly classify: Classify
  /** @throws AppError `bad-request` for a crop or page outside the picture, `forbidden` outside a policy's widths. */
  readonly plan: (route: VariantRoute, klass: NegotiatedClass, subject: Admitted) => PlannedVariant
  readonly obtain: (wanted: Wanted, signal: AbortSignal) => Promise<Obtained>
  readonly strangers: StrangerBudget
}

/** A request header by its lower-case name. */
export type HeaderReader = (name: string) => string | undefined

export type Classify = (route: VariantRoute, subject: Admitted, header: HeaderReader) => NegotiatedClass

export interface Decided {
  readonly known: KnownSubject
  readonly subject: Admitted
  readonly klass: NegotiatedClass
  readonly key: VariantKey
  /** The ratio that was applied. */
  readonly dpr: number
}

/** Which encode of the variant it is, as the client is told. */
export interface Tagged extends Decided {
  readonly etag: string
}

export type Delivery = Tagged & ({ readonly kind: 'not-modified' } | ({ readonly kind: 'bytes' } & Obtained))

/**
 * @throws AppError as `admit`, `plan` and `obtain` do; 404 and 410 also when the asset went while it was being rendered;
 * `precondition-failed` by `If-Match`.
 */
export const createDeliver =
  (ports: DeliverPorts) =>
  async (route: VariantRoute, header: HeaderReader, signal: AbortSignal): Promise<Delivery> => {
    const known = await ports.subjects.find(route.digest)
    const subject = admit(known.subject, route.digest, route.grant.trusted)
    const klass = ports.classify(route, subject, header)
    const { plan, name, dpr } = ports.plan(route, klass, subject)
    const key = variantKey(route.digest, name)
    const decided = { known, subject, klass, key, dpr }

    const ifMatch = header('if-match')
    const ifNoneMatch = header('if-none-match')
    // The first encode's tag is known without its bytes; which encode there is, and so what `If-Match` says of it, is not.
    if (ifNoneMatch !== undefined && ifMatch === undefined) {
      const etag = variantEtag(key, 0)
      if (namesEtag(ifNoneMatch, etag)) return { ...decided, kind: 'not-modified', etag }
    }

    // A tag of something else is refused without a render.
    if (ifMatch !== undefined && !mayNameVariant(ifMatch, key)) requireMatch(ifMatch, variantEtag(key, 0))

    const spend = () => {
      if (!route.grant.trusted) ports.strangers.spend(route.digest, plan, performance.now())
    }
    const obtained = await ports.obtain({ subject, key, plan, admit: spend }, signal)
    // A delete that returned while we rendered must win: what it hid is not served any more (CONTRACT §7.4).
    const now = known.current ? known : await ports.subjects.find(route.digest)
    const current = { ...decided, known: now, subject: admit(now.subject, route.digest, route.grant.trusted) }
    const etag = variantEtag(key, obtained.variant.facts.generation)
    requireMatch(ifMatch, etag)
    // A later encode, or `*`, which asks whether there is a representation at all: only now we know.
    if (ifNoneMatch !== undefined && matchesEtag(ifNoneMatch, etag)) return { ...current, kind: 'not-modified', etag }
    return { ...current, kind: 'bytes', etag, ...obtained }
  }

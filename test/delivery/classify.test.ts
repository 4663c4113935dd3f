/** Remembering classes must not change them, whoever asks after whom. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { NEGOTIATION } from '../../config/ladder.ts'
import { admit } from '../../src/delivery/admission.ts'
import { createClassify } from '../../src/delivery/classify.ts'
import { formOf, negotiate } from '../../src/delivery/negotiate.ts'
import { createParseRoute, type VariantRoute } from '../../src/delivery/route.ts'
import { createSigningKeys } from '../../src/delivery/signature.ts'
import { digest, subjectOf } from './picture.ts'
import { presets } from './urls.ts'

const parseRoute = createParseRoute({ presets, keys: createSigningKeys([{ kid: 'k1', secret: 'a-secret-for-tests' }]) })
const routeOf = (tail: string): VariantRoute => {
  const route = parseRoute(`/i/${digest}/${tail}`, 0)
  if (route.kind !== 'variant') throw new Error(`${tail} is no variant`)
  return route
}
const subject = admit(subjectOf('public'), digest, true)
const pictures = [
  subject,
  { ...subject, facts: { ...subject.facts, hasAlpha: true } },
  { ...subject, facts: { ...subject.facts, animated: true, format: 'gif' as const } },
]
const routes = ['320x.webp', '320x.auto', 'autox.auto', '320x.auto?dpr=auto', '640x.auto', '320x.jpg?dpr=auto'].map(
  routeOf,
)

const headers = fc.record({
  accept: fc.constantFrom(
    undefined,
    '',
    'image/avif,image/webp,*/*',
    'image/webp,*/*',
    '*/*',
    `image/webp,${'x'.repeat(1100)}`,
  ),
  'user-agent': fc.constantFrom(undefined, 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X)', 'curl/8.5.0'),
  'sec-ch-dpr': fc.constantFrom(undefined, '1', '2'),
  'sec-ch-width': fc.constantFrom(undefined, '320', '900'),
  'save-data': fc.constantFrom(undefined, 'on'),
})

it('answers as negotiation does, whatever was asked before', () => {
  const asked = fc.record({ route: fc.constantFrom(...routes), picture: fc.constantFrom(...pictures), headers })
  fc.assert(
    fc.property(fc.array(asked, { minLength: 2, maxLength: 30 }), (requests) => {
      const classify = createClassify(NEGOTIATION)
      for (const { route, picture, headers } of requests) {
        const header = (name: string) => headers[name as keyof typeof headers]
        const fresh = negotiate(formOf(route.transform), picture.facts, header, NEGOTIATION)
        expect(classify(route, picture, header)).toEqual(fresh)
        expect(classify(route, picture, header)).toEqual(fresh)
      }
    }),
  )
})

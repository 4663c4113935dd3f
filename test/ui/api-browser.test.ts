import { beforeAll, describe, expect, it } from 'vitest'
import { loadModule } from './load-module.ts'

type Json = Readonly<Record<string, unknown>>
interface Schema {
  resolve(spec: Json, thing: Json): Json
  typeText(spec: Json, schema: Json): string
  limitTexts(schema: Json): string[]
  exampleOf(spec: Json, schema: Json): unknown
}
interface Operations {
  operationsOf(spec: Json): { id: string; tag: string; method: string; path: string; secured: boolean }[]
  curlLine(spec: Json, operation: unknown, origin: string): string
}

let schema: Schema
let operations: Operations
beforeAll(async () => {
  schema = await loadModule<Schema>('schema.js')
  operations = await loadModule<Operations>('operation.js')
})

const SPEC = {
  security: [{ bearer: [] }],
  components: {
    schemas: {
      Place: { type: 'object', required: ['lat'], properties: { lat: { type: 'number', minimum: -90 }, note: {} } },
      Node: { type: 'object', properties: { next: { $ref: '#/components/schemas/Node' }, name: { type: 'string' } } },
      'a/b~c': { type: 'boolean' },
      Loop: { $ref: '#/components/schemas/Loop' },
    },
  },
  paths: {
    '/assets/{id}': {
      parameters: [{ in: 'path', name: 'id', required: true, schema: { type: 'string' } }],
      patch: {
        operationId: 'patchAsset',
        tags: ['assets'],
        requestBody: {
          content: { 'application/json': { schema: { type: 'object', properties: { title: { example: "it's" } } } } },
        },
      },
    },
    '/assets/upload': { post: { requestBody: { content: { 'image/*': {}, 'multipart/form-data': {} } } } },
    '/healthz': { get: { security: [] } },
    '/i/{hash}/{file}': {
      get: {
        security: [],
        parameters: [
          { in: 'path', name: 'hash', required: true, schema: { type: 'string' } },
          { in: 'path', name: 'file', required: true, schema: { example: '800x.auto' } },
          { in: 'query', name: 'fit', schema: { enum: ['inside'] } },
        ],
      },
    },
  },
}

describe('the API browser', () => {
  it.for([
    [{ $ref: '#/components/schemas/Place' }, 'Place'],
    [{ type: ['string', 'null'] }, 'string or null'],
    [{ type: 'string', format: 'date-time' }, 'string (date-time)'],
    [{ type: 'array', items: { $ref: '#/components/schemas/Place' } }, 'array of Place'],
    [{ oneOf: [{ $ref: '#/components/schemas/Place' }, { type: 'null' }] }, 'Place or null'],
    [{ allOf: [{ $ref: '#/components/schemas/Place' }, { type: 'object' }] }, 'Place and object'],
    [{ enum: ['a', 'b'] }, 'string'],
    [{ const: 7 }, '7'],
    [{}, 'any'],
  ] as const)('says %j as "%s"', ([given, text]) => {
    expect(schema.typeText(SPEC, given)).toBe(text)
  })

  it('follows escaped pointers, and ends on one that turns in a circle or leads nowhere', () => {
    expect(schema.resolve(SPEC, { $ref: '#/components/schemas/a~1b~0c' })).toEqual({ type: 'boolean' })
    expect(schema.resolve(SPEC, { $ref: '#/components/nothing' })).toEqual({})
    expect(schema.resolve(SPEC, { $ref: '#/components/schemas/Loop' })).toBeDefined()
  })

  it('makes an example of what must be there, and ends where a schema contains itself', () => {
    expect(schema.exampleOf(SPEC, { $ref: '#/components/schemas/Place' })).toEqual({ lat: -90 })
    expect(JSON.stringify(schema.exampleOf(SPEC, { $ref: '#/components/schemas/Node' })).length).toBeLessThan(300)
  })

  it('names bounds and defaults', () => {
    expect(schema.limitTexts({ minimum: 0, maxLength: 5, default: 'x' })).toEqual(['≥ 0', 'length ≤ 5', 'default "x"'])
  })

  it('knows each operation by id, with the security of the document where it has none of its own', () => {
    const found = operations.operationsOf(SPEC).map(({ id, secured }) => [id, secured])
    expect(found).toEqual([
      ['patchAsset', true],
      ['post-assets-upload', true],
      ['get-healthz', false],
      ['get-i-hash-file', false],
    ])
  })

  it.for([
    [
      0,
      `curl -X PATCH 'http://o/assets/ID'|-H "Authorization: Bearer $ORIEL_KEY"|-H 'Content-Type: application/json'|-d '{"title":"it'\\''s"}'`,
    ],
    [
      1,
      `curl -X POST 'http://o/assets/upload'|-H "Authorization: Bearer $ORIEL_KEY"|-H 'Content-Type: image/jpeg'|--data-binary '@photo.jpg'`,
    ],
    [2, `curl 'http://o/healthz'`],
    [3, `curl 'http://o/i/HASH/800x.auto'`],
  ] as const)('writes a curl line for operation %i', ([index, line]) => {
    const operation = operations.operationsOf(SPEC)[index]
    expect(operations.curlLine(SPEC, operation, 'http://o').replaceAll(' \\\n  ', '|')).toBe(line)
  })
})

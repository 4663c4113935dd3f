import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toCsv } from '../../src/analytics/csv.ts'
import { escapeText } from '../../src/analytics/event-row.ts'
import { questionParameters, questionSql, readQuestion } from '../../src/analytics/question.ts'

const NOW = Date.parse('2026-11-23T12:00:00Z')
const read = (parameters: Record<string, string>) => readQuestion(questionParameters.parse(parameters), 400, NOW)

describe('a question', () => {
  it('is about the last 24 hours, ungrouped, the most requested first, when nothing is said', () => {
    const { from, to, groupBy, order, limit } = read({})
    expect(to.getTime() - from.getTime()).toBe(24 * 3_600_000)
    expect({ groupBy, order, limit }).toEqual({
      groupBy: [],
      order: { column: 'requests', descending: true },
      limit: 1000,
    })
  })

  it('takes dates as midnight UTC and instants with their zone', () => {
    const { from, to } = read({ from: '2026-11-01', to: '2026-11-02T01:30:00+01:00' })
    expect([from.toISOString(), to.toISOString()]).toEqual(['2026-11-01T00:00:00.000Z', '2026-11-02T00:30:00.000Z'])
  })

  it('orders a series by time', () =>
    expect(read({ group_by: 'format,day' }).order).toEqual({ column: 'day', descending: false }))

  it.for([
    [{ from: 'yesterday' }, 'yesterday'],
    [{ from: '2026-02-30' }, '2026-02-30'],
    [{ to: '2026-11-01T10:00:00' }, '2026-11-01T10:00:00'],
    [{ from: '2026-11-02', to: '2026-11-01' }, '2026-11-02'],
    [{ from: '2025-01-01', to: '2026-11-01' }, '669 days'],
    [{ group_by: 'format,colour' }, 'colour'],
    [{ group_by: 'constructor' }, 'constructor'],
    [{ group_by: 'format,tier,os,hash' }, 'not 4'],
    [{ limit: '0' }, 'limit'],
    [{ limit: '10001' }, '10001'],
    [{ limit: '1e3' }, '1e3'],
    [{ status: '2xx' }, '2xx'],
    [{ order: 'cost' }, 'cost'],
    [{ order: 'tier' }, 'tier'],
    [{ statsu: '200' }, 'statsu'],
    [{ format: 'xml' }, 'format'],
    [{ hash: 'f'.repeat(300) }, 'hash'],
  ] as const)('is refused with the value named: %o', ([parameters, named]) => {
    expect(() => read(parameters)).toThrow(named)
  })

  it('never puts a value into the SQL', () => {
    const word = fc.string({ minLength: 4, maxLength: 50 }).filter((text) => !questionSql(read({})).sql.includes(text))
    fc.assert(
      fc.property(word, word, (owner, referrer) => {
        const { sql, parameters } = questionSql(read({ owner, referrer, group_by: 'owner' }))
        expect(sql.includes(owner) || sql.includes(referrer)).toBe(false)
        expect(Object.values(parameters)).toEqual(expect.arrayContaining([owner, referrer]))
      }),
    )
  })
})

/** RFC 4180, strictly: what a spreadsheet or a script would read back. */
const parseCsv = (text: string): string[][] => {
  const rows: string[][] = []
  let row: string[] = []
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text)
    if (match === null) throw new Error('not RFC 4180')
    row.push(match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll('""', '"'))
    if (match[3] === ',') continue
    rows.push(row)
    row = []
  }
  return rows
}

describe('CSV', () => {
  const cell = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('=1+1', '+x', '-x', '@SUM(A1)', 'a,b', '"', '\r\n', '\ttab', ''),
  )

  it('reads back as it was, but for the apostrophe before what a spreadsheet would run', () => {
    fc.assert(
      fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 2 })), (rows) => {
        const [, ...back] = parseCsv(toCsv(['a', 'b'], rows))
        expect(back.map((row) => row.map((text) => text.replace(/^'(?=[=+\-@\t\r＝＋－＠])/, '')))).toEqual(rows)
        expect(back.flat().filter((text) => /^[=+\-@\t\r＝＋－＠]/.test(text))).toEqual([])
      }),
    )
  })

  it('leaves numbers alone and writes nothing for null', () => {
    expect(toCsv(['n'], [[-1.5], [null], [0]])).toBe('n\r\n-1.5\r\n\r\n0\r\n')
  })
})

it('escaped text is printable ASCII without tabs or newlines, and only backslashes say what it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 250 }), (text) => {
      const escaped = escapeText(text)
      expect(escaped).toMatch(/^[\x20-\x7e]*$/)
      const bytes = escaped.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      )
      expect(Buffer.from(bytes, 'latin1').toString('utf8')).toBe(text.toWellFormed())
    }),
  )
})

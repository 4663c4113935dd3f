/** What each fault did, as the table of docs/RELIABILITY.md. */
import { readFile, writeFile } from 'node:fs/promises'
import { describeMachine } from '../../bench/machine.ts'
import { asked, CACHED, cachedP99Ms, failed, longestMs, SLOW_MS, slow, type Tally } from './tally.ts'

export interface Row {
  readonly name: string
  readonly tally: Tally
  /** From the end of the fault until all was well, ms. */
  readonly wellMs: number
  readonly say: string
  /** In words; the tally's are among them. */
  readonly wrong: readonly string[]
}

const DOCUMENT = new URL('../../docs/RELIABILITY.md', import.meta.url)
const BETWEEN_MARKS = /(<!-- faults:start -->\n)[\s\S]*(<!-- faults:end -->)/

const seconds = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)

const remarks = ({ tally, say }: Row): string =>
  [
    say,
    tally.elsewhere > 0 ? `${tally.elsewhere} reads broke off and were answered by another origin` : '',
    tally.servedAfterMs > 0 ? `a deleted picture was served for ${seconds(tally.servedAfterMs)} by another origin` : '',
  ]
    .filter(Boolean)
    .join('; ')

export const formatRow = (row: Row): string => {
  const { name, tally, wellMs, wrong } = row
  const cells = [
    name,
    asked(tally),
    wrong.length === 0 ? '0' : `**${wrong.length}**`,
    `${failed(tally, CACHED)} of ${asked(tally, CACHED)}`,
    `${failed(tally, ['cold', 'original'])} of ${asked(tally, ['cold', 'original'])}`,
    `${failed(tally, ['upload', 'delete'])} of ${asked(tally, ['upload', 'delete'])}`,
    slow(tally),
    seconds(longestMs(tally)),
    seconds(cachedP99Ms(tally)),
    seconds(wellMs),
    remarks(row),
  ]
  return `| ${cells.join(' | ')} |`
}

export const formatTable = (rows: readonly Row[]): string => {
  const machine = describeMachine()
  return [
    '',
    `${machine.date} · ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGib} GiB · ${machine.system} · Node ${machine.node} · commit ${machine.commit}`,
    '',
    `| fault | answers | wrong | cached reads failed | other reads failed | uploads, deletes failed | slower than ${SLOW_MS / 1000} s | longest | cached reads, p99 | well again after | |`,
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
    ...rows.map(formatRow),
    '',
    '',
  ].join('\n')
}

/** Puts the table between the marks of the document. */
export const writeReport = async (rows: readonly Row[]): Promise<void> => {
  const text = await readFile(DOCUMENT, 'utf8')
  await writeFile(
    DOCUMENT,
    text.replace(BETWEEN_MARKS, (_, start: string, end: string) => start + formatTable(rows) + end),
  )
}

/** Sections of rows → the Markdown that is committed and shown in the README. */
import type { Machine } from './machine.ts'
import type { Row, Section, Target } from './row.ts'
import type { Spread } from './statistics.ts'

/** Three significant digits below 1,000, whole numbers with separators above. */
export const formatNumber = (value: number): string => {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-GB')
  return String(Number(value.toPrecision(3)))
}

const formatRatio = (ratio: Spread): string =>
  `**${ratio.median.toFixed(2)}** (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`

const formatTarget = ({ of, atLeast, atMost }: Target, unit: string): string => {
  const bound = atLeast === undefined ? `≤ ${formatNumber(atMost ?? Number.NaN)}` : `≥ ${formatNumber(atLeast)}`
  return of === 'ratio' ? `${bound} ×` : `${bound} ${unit}`
}

const formatRow = (row: Row): string => {
  const cells = [
    row.what,
    `${formatNumber(row.ours.median)} ${row.unit}`,
    row.reference ? `${formatNumber(row.reference.median)} ${row.unit}` : '',
    row.ratio ? formatRatio(row.ratio) : '',
    row.target ? formatTarget(row.target, row.unit) : '',
    row.met === undefined ? '' : row.met ? 'met' : '**missed**',
    row.note ?? '',
  ]
  return `| ${cells.join(' | ')} |`
}

/** @returns one part's heading and table. */
export const formatSection = ({ title, reference, rows, disturbance = 0 }: Section): string =>
  [
    `## ${title}`,
    '',
    `Reference: ${reference}. Other processes took ${Math.round(disturbance * 100)} % of the machine meanwhile.`,
    '',
    '| | Oriel | reference | ratio (min–max) | target | | note |',
    '| --- | ---: | ---: | ---: | ---: | --- | --- |',
    ...rows.map(formatRow),
    '',
  ].join('\n')

/** @returns a whole Markdown document. */
export const formatResults = (machine: Machine, sections: readonly Section[]): string =>
  [
    '# Benchmark',
    '',
    `${machine.date} · ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGib} GiB · ${machine.system} · Node ${machine.node} · sharp ${machine.sharp}, libvips ${machine.vips} · commit ${machine.commit}`,
    '',
    'Made by `npm run bench`. Figures are medians. Oriel and its reference ran in turns on the same machine; a ratio is the',
    'median of the ratios of neighbours, with their least and greatest. Read the ratios: the machine is shared and noisy.',
    '',
    ...sections.map(formatSection),
  ].join('\n')

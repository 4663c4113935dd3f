/** The table: rows are sizes, columns are formats, each cell one variant as it was served twice. */
import { here, offeredWidths } from './api.js'
import { el, formatBytes, formatMs, formatShare, put } from './dom.js'
import { imageAccept, inTurns, measureVariant } from './measure.js'

/** Sizes worth a row; what the server offers is thinned to the nearest of these, and the natural size. */
const GOOD_WIDTHS = [320, 640, 1024, 1600]
/** One core for the renderer and one for what else goes on, so that a measured time is not the neighbour's. */
const AT_ONCE = 2

const TITLES = { auto: 'Your browser', avif: 'AVIF', webp: 'WebP', jpeg: 'JPEG', png: 'PNG', gif: 'GIF' }

/**
 * Formats that make sense for this picture: PNG where there is alpha or no loss wanted, GIF where something moves. A private
 * one is shown by signed URLs only, and the server hands out those of the negotiated form.
 */
const columnsFor = (asset) =>
  asset.visibility === 'public'
    ? [
        'auto',
        'avif',
        'webp',
        'jpeg',
        ...(asset.has_alpha || asset.format === 'png' ? ['png'] : []),
        ...(asset.animated ? ['gif'] : []),
      ]
    : ['auto']

/** By the grammar `/i/{hash}/{w}x.{fmt}`, or as the server has signed it. */
const urlOf = (asset, column, width) => {
  const natural = width === 'natural'
  if (asset.visibility === 'public') return `/i/${asset.hash}/${natural ? 'x' : `${width}x`}.${column}`
  return here(asset.urls[natural ? offeredWidths(asset).at(-1) : width])
}

const rowsFor = (asset) => {
  const offered = offeredWidths(asset).filter((width) => width < asset.width)
  const nearest = GOOD_WIDTHS.filter((width) => width < asset.width).map((good) =>
    offered.reduce(
      (best, width) => (Math.abs(width - good) < Math.abs(best - good) ? width : best),
      offered[0] ?? good,
    ),
  )
  return [...new Set(nearest), 'natural']
}

const rowTitle = (asset, width) => {
  const pixels = width === 'natural' ? asset.width : width
  const height = Math.max(1, Math.round((pixels * asset.height) / asset.width))
  const note = width === 'natural' && el('small', {}, 'natural')
  return el('th', { scope: 'row' }, `${pixels}`, el('small', {}, ` × ${height}`), note)
}

const fill = (cell, asset, result) => {
  cell.button.disabled = false
  put(
    cell.button,
    el('b', {}, formatBytes(result.bytes)),
    el('span', { class: 'share' }, formatShare(result.bytes, asset.bytes)),
    result.format !== cell.column && el('span', { class: 'badge' }, result.format),
    el('span', { class: 'ms' }, `${formatMs(result.firstMs)} → ${formatMs(result.thenMs)} ms`),
    el(
      'span',
      { class: 'tier' },
      result.firstBy === result.thenBy ? result.thenBy : `${result.firstBy} → ${result.thenBy}`,
    ),
  )
  cell.button.classList.add('done')
}

const fail = (cell, error) => {
  put(cell.button, el('b', {}, 'failed'), el('span', { class: 'why' }, error.message))
  cell.button.title = error.message
  cell.button.classList.add('failed')
}

/** Not for an animation: a still frame is smaller than a film, which says nothing. */
const markSmallest = (cells) => {
  for (const width of new Set(cells.map((cell) => cell.width))) {
    const row = cells.filter((cell) => cell.width === width && cell.column !== 'auto' && cell.result)
    const least = Math.min(...row.map((cell) => cell.result.bytes))
    const best = row.find((cell) => cell.result.bytes === least)
    best?.button.classList.add('best')
    best?.button.append(el('span', { class: 'unseen' }, 'smallest of this size'))
  }
}

/**
 * @returns the table's element, and `run()`, which measures every cell and resolves with those that worked.
 * `onChoose(cell)` is called when one is clicked; `onCount(done, all)` after each.
 */
export const createMatrix = (asset, onChoose, onCount) => {
  const columns = columnsFor(asset)
  const rows = rowsFor(asset)
  const cells = rows.flatMap((width) =>
    columns.map((column) => {
      const button = el('button', { type: 'button', class: 'cell', disabled: true, 'aria-pressed': 'false' }, '·')
      return { width, column, button, url: urlOf(asset, column, width), result: undefined }
    }),
  )
  const choose = (cell) => {
    for (const other of cells) other.button.setAttribute('aria-pressed', String(other === cell))
    onChoose(cell)
  }
  for (const cell of cells) cell.button.addEventListener('click', () => cell.result && choose(cell))

  const table = el(
    'table',
    { class: 'matrix' },
    el('caption', { class: 'unseen' }, 'Bytes, share of the original, first and second answer, by size and format'),
    el(
      'thead',
      {},
      el(
        'tr',
        {},
        el('th', { scope: 'col' }, 'Width'),
        columns.map((c) => el('th', { scope: 'col' }, TITLES[c])),
      ),
    ),
    el(
      'tbody',
      {},
      rows.map((width) =>
        el(
          'tr',
          {},
          rowTitle(asset, width),
          cells.filter((cell) => cell.width === width).map((cell) => el('td', {}, cell.button)),
        ),
      ),
    ),
  )

  table.style.setProperty('--columns', String(columns.length))

  const run = async () => {
    const accept = await imageAccept()
    // Column by column, so that equal variants (`auto` and what it chose) are never asked for at the same moment.
    const wanted = columns.flatMap((column) => cells.filter((cell) => cell.column === column))
    let done = 0
    const measure = (cell) => async () => {
      cell.button.classList.add('busy')
      try {
        cell.result = await measureVariant(cell.url, accept)
        fill(cell, asset, cell.result)
      } catch (error) {
        fail(cell, error)
      }
      cell.button.classList.remove('busy')
      onCount(++done, wanted.length)
    }
    await inTurns(wanted.map(measure), AT_ONCE)
    if (!asset.animated) markSmallest(cells)
    return cells.filter((cell) => cell.result)
  }
  return { table, run, choose }
}

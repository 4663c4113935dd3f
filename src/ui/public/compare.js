/** The original and one variant on top of each other, with a dividing line to move. */
import { here } from './api.js'
import { el, formatBytes, formatMs, formatShare, put } from './dom.js'

/** What a browser may fail to show although Oriel can read it (TIFF): what Oriel makes of it stands in. */
const originalImage = (asset, note) => {
  const image = el('img', {
    alt: `The original: ${asset.filename ?? asset.hash}`,
    width: asset.width,
    height: asset.height,
  })
  image.addEventListener(
    'error',
    () => {
      note.textContent = `Original (${asset.format}, as rendered)`
      image.src = here(asset.urls.auto)
    },
    { once: true },
  )
  image.src = here(asset.urls.original)
  return image
}

const termRow = (term, value) => [el('dt', {}, term), el('dd', {}, value)]

/** @returns `stage` and `details`, elements; `show(cell)` puts a measured variant over the original; `close()` lets it go. */
export const createCompare = (asset) => {
  const originalNote = el('span', { class: 'tag' }, `Original ${formatBytes(asset.bytes)}`)
  const variantNote = el('span', { class: 'tag right' }, 'measuring…')
  const variant = el('img', { alt: '', class: 'over', width: asset.width, height: asset.height, hidden: true })
  const line = el('span', { class: 'line', hidden: true })
  const slider = el('input', { type: 'range', min: '0', max: '100', value: '50', disabled: true })
  slider.setAttribute('aria-label', 'How much of the original is shown, from the left, in percent')
  const stage = el(
    'div',
    { class: 'stage' },
    originalImage(asset, originalNote),
    variant,
    line,
    originalNote,
    variantNote,
    slider,
  )
  stage.style.setProperty('--ratio', String(asset.width / asset.height))
  stage.style.setProperty('--natural', `${asset.width}px`)
  slider.addEventListener('input', () => stage.style.setProperty('--cut', `${slider.value}%`))

  const details = el('dl', { class: 'headers' }, termRow('Click a cell', 'to see it here, over the original.'))
  let objectUrl

  const show = ({ width, column, result }) => {
    if (objectUrl) URL.revokeObjectURL(objectUrl)
    objectUrl = URL.createObjectURL(result.body)
    variant.src = objectUrl
    variant.alt = `The variant: ${column}, width ${width}`
    for (const part of [variant, line]) part.hidden = false
    slider.disabled = false
    variantNote.textContent = `${result.format} ${formatBytes(result.bytes)}`
    put(details, [
      termRow('URL', el('a', { href: result.url, target: '_blank', rel: 'noopener' }, result.url)),
      termRow('Weighs', `${formatBytes(result.bytes)}, ${formatShare(result.bytes, asset.bytes)} of the original`),
      termRow(
        'First',
        `${formatMs(result.firstMs)} ms, ${result.firstBy}${result.firstTiming ? ` (${result.firstTiming})` : ''}`,
      ),
      termRow('Then', `${formatMs(result.thenMs)} ms, ${result.thenBy}`),
      ...result.headers.map(([name, value]) => termRow(name, value)),
    ])
  }
  return {
    stage,
    details,
    show,
    close: () => objectUrl && URL.revokeObjectURL(objectUrl),
  }
}

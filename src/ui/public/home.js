/** The page that explains itself: take a photo, upload it, show how it is served. */
import { call, getKey, setKey, takeKeyFromAddress, upload } from './api.js'
import { createCompare } from './compare.js'
import { byId, copyBlock, el, formatBytes, formatMs, formatShare, put } from './dom.js'
import { showLibrary } from './library.js'
import { createMatrix } from './matrix.js'

const keyField = byId('key')
const drop = byId('drop')
let closeShown = () => {}

const showError = (error) => {
  byId('error').textContent = error.message
  byId('error').hidden = false
  if (error.status === 401 || error.status === 403) keyField.focus()
}

const clearError = () => {
  byId('error').hidden = true
}

const paintKey = () => {
  keyField.value = getKey()
  keyField.classList.toggle('set', Boolean(getKey()))
}

const refreshLibrary = () => (getKey() ? showLibrary(openAsset, showError).catch(showError) : undefined)

const curlLines = (asset) => {
  const auto = new URL(asset.urls['640'] ?? asset.urls.auto, location.href).href
  const head = "curl -s -o /dev/null -D - -H 'Accept:"
  const hints = "-H 'Sec-CH-DPR: 2' -H 'Sec-CH-Width: 800'"
  const hinted = new URL(`/i/${asset.hash}/autox.auto`, auto).href
  return [
    ['A browser that shows AVIF', `${head} image/avif,image/webp,*/*' '${auto}'`],
    ['One that shows WebP only', `${head} image/webp,*/*' '${auto}'`],
    ['An old Safari, which shows neither', `${head} image/png,image/*;q=0.8,*/*;q=0.5' '${auto}'`],
    ['A phone on a slow line, saving data', `${head} image/avif,*/*' -H 'Save-Data: on' -H 'ECT: 2g' '${auto}'`],
    ...(asset.visibility === 'public'
      ? [['A sharp screen, the width left to hints', `${head} image/webp,*/*' ${hints} '${hinted}'`]]
      : []),
  ]
}

const summary = (asset, cells) => {
  const own =
    cells.find((cell) => cell.column === 'auto' && cell.width === 640) ?? cells.find((c) => c.column === 'auto')
  if (!own) return 'Nothing could be served: see the reasons in the table.'
  const { format, bytes, firstMs, thenMs, firstBy } = own.result
  const width = own.width === 'natural' ? asset.width : own.width
  return `At ${width} px this browser gets ${format}: ${formatBytes(bytes)}, ${formatShare(bytes, asset.bytes)} of the original. First answer ${formatMs(firstMs)} ms (${firstBy}), then ${formatMs(thenMs)} ms.`
}

const heading = (asset) =>
  el(
    'div',
    { class: 'stored' },
    el('h2', { id: 'result-title', tabIndex: -1 }, asset.filename ?? 'Your photo'),
    el(
      'p',
      {},
      `${asset.width} × ${asset.height} ${asset.format}, ${formatBytes(asset.bytes)}`,
      asset.animated ? `, ${asset.pages} frames` : '',
      asset.has_alpha ? ', with transparency' : '',
      ` · ${asset.visibility === 'public' ? 'public' : 'private, shown by signed URLs only'} · `,
      el('strong', {}, asset.deduplicated ? 'bytes already known, stored once' : 'stored as uploaded'),
    ),
    el('p', { class: 'hash' }, el('span', {}, 'SHA-256 '), el('code', {}, asset.hash)),
  )

const showAsset = async (asset) => {
  closeShown()
  const count = el('p', { class: 'count', 'aria-live': 'polite' }, 'Measuring…')
  const compare = createCompare(asset)
  const matrix = createMatrix(asset, compare.show, (done, all) => {
    count.textContent = `Measuring… ${done} of ${all}`
  })
  closeShown = compare.close
  const again = el('button', { type: 'button', class: 'quiet', onclick: () => openAsset(asset.id) }, 'Measure again')
  const region = el('div', { class: 'scroll', role: 'region', tabIndex: 0, 'aria-label': 'Variants' }, matrix.table)
  put(
    byId('result'),
    heading(asset),
    el(
      'div',
      { class: 'two' },
      compare.stage,
      el('div', { class: 'card' }, el('div', { class: 'row' }, count, again), region),
      compare.details,
    ),
    el('h3', {}, 'Put it on a page'),
    copyBlock(asset.img, 'the img element'),
    el('h3', {}, 'What other devices get'),
    el(
      'p',
      {},
      'A browser does not let a page send these headers, so try them in a shell. Watch ',
      el('code', {}, 'Content-Type'),
      ' and ',
      el('code', {}, 'X-Variant-Class'),
      '.',
    ),
    curlLines(asset).map(([title, line]) =>
      el('div', { class: 'device' }, el('h4', {}, title), copyBlock(line, title)),
    ),
  )
  byId('result').hidden = false
  byId('result-title').focus({ preventScroll: true })
  byId('result').scrollIntoView({ block: 'start' })
  const cells = await matrix.run()
  if (!count.isConnected) return
  count.textContent = summary(asset, cells)
  const first = cells.find((cell) => cell.column === 'auto' && cell.width === 'natural') ?? cells[0]
  if (first) matrix.choose(first)
}

async function openAsset(id) {
  clearError()
  try {
    await showAsset(await call('GET', `/assets/${id}`))
  } catch (error) {
    showError(error)
  }
}

const uploadOne = async (file) => {
  const abort = new AbortController()
  byId('cancel').onclick = () => abort.abort()
  byId('progress-text').textContent = `Uploading ${file.name}, ${formatBytes(file.size)}`
  byId('progress').hidden = false
  const bar = byId('progress-bar')
  try {
    return await upload(
      file,
      (share) => {
        bar.value = share
      },
      abort.signal,
    )
  } finally {
    byId('progress').hidden = true
    bar.value = 0
  }
}

const take = async (files) => {
  if (files.length === 0) return
  clearError()
  setKey(keyField.value.trim())
  if (!getKey())
    return showError(Object.assign(new Error('An upload needs the API key: paste it first.'), { status: 401 }))
  drop.classList.add('busy')
  try {
    let asset
    for (const file of files) asset = await uploadOne(file)
    await Promise.all([refreshLibrary(), showAsset(asset)])
  } catch (error) {
    showError(error)
  } finally {
    drop.classList.remove('busy')
    byId('file').value = ''
  }
}

byId('file').addEventListener('change', (event) => void take([...event.target.files]))
keyField.addEventListener('change', () => {
  setKey(keyField.value.trim())
  clearError()
  paintKey()
  void refreshLibrary()
})
addEventListener('dragover', (event) => {
  event.preventDefault()
  drop.classList.add('over')
})
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) drop.classList.remove('over')
})
addEventListener('drop', (event) => {
  event.preventDefault()
  drop.classList.remove('over')
  void take([...event.dataTransfer.files])
})
addEventListener('paste', (event) => void take([...event.clipboardData.files]))
addEventListener('hashchange', () => {
  if (!takeKeyFromAddress()) return
  paintKey()
  void refreshLibrary()
})

takeKeyFromAddress()
paintKey()
void refreshLibrary()

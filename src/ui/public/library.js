/** The caller's latest uploads: open one in the table, delete it, bring it back. */
import { call, here, offeredWidths } from './api.js'
import { byId, el, put } from './dom.js'

const SHOWN = 12

/** 96 CSS pixels on a sharp screen. */
const THUMB_PIXELS = 192

const thumbnailUrl = (asset) =>
  asset.urls[offeredWidths(asset).find((width) => width >= THUMB_PIXELS)] ?? asset.urls.auto

const createEntry = (asset, onOpen, onError) => {
  const name = asset.filename ?? asset.hash.slice(0, 12)
  const open = el(
    'button',
    {
      type: 'button',
      class: 'thumb',
      title: `${name} · ${asset.width} × ${asset.height}`,
      onclick: () => onOpen(asset.id),
    },
    el('img', { src: here(thumbnailUrl(asset)), alt: name, width: 96, height: 96, loading: 'lazy', decoding: 'async' }),
  )
  const act = el('button', { type: 'button', class: 'quiet' })
  const entry = el('li', {}, open, el('span', { class: 'name' }, name), act)
  let deleted = false
  const paint = () => {
    act.textContent = deleted ? 'Restore' : 'Delete'
    act.setAttribute('aria-label', `${act.textContent} ${name}`)
    entry.classList.toggle('deleted', deleted)
    open.disabled = deleted
  }
  act.addEventListener('click', async () => {
    act.disabled = true
    try {
      if (deleted) await call('POST', `/assets/${asset.id}/restore`)
      else await call('DELETE', `/assets/${asset.id}`)
      deleted = !deleted
    } catch (error) {
      onError(error)
    }
    act.disabled = false
    paint()
  })
  paint()
  return entry
}

/** Lists the latest uploads of the key's owner. `onOpen(id)` when one is chosen, `onError(error)` when a call fails. */
export const showLibrary = async (onOpen, onError) => {
  const { items } = await call('GET', `/assets?limit=${SHOWN}`)
  put(
    byId('shelf'),
    items.map((asset) => createEntry(asset, onOpen, onError)),
  )
  byId('library').hidden = items.length === 0
}

/** Elements, text and numbers. Text from outside only ever becomes a text node. */

/**
 * `el('a', { href, class: 'x', onclick }, 'text', child)`. Keys that start with "on" are listeners, `class` and `aria-…` are
 * attributes, the rest are properties; null and false children are left out.
 */
export const el = (tag, properties = {}, ...children) => {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value)
    else if (name === 'class' || name.includes('-') || name === 'for') node.setAttribute(name, value)
    else node[name] = value
  }
  put(node, ...children)
  return node
}

/** Makes `children`, nested as they may be, all that is in the node. */
export const put = (node, ...children) =>
  node.replaceChildren(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false))

export const byId = (id) => document.getElementById(id)

/** Powers of 1000, three digits: 987 B, 34.2 KB, 1.25 MB. */
export const formatBytes = (bytes) => {
  if (bytes < 1000) return `${bytes} B`
  const [unit, size] = bytes < 999_500 ? ['KB', bytes / 1e3] : ['MB', bytes / 1e6]
  return `${size.toPrecision(size < 999.5 ? 3 : 4)} ${unit}`
}

export const formatMs = (ms) => (ms < 9.95 ? ms.toFixed(1) : String(Math.round(ms)))

export const formatShare = (part, whole) => {
  const percent = (100 * part) / whole
  return `${percent < 9.95 ? percent.toFixed(1) : Math.round(percent)} %`
}

/** A block of text to take away, with a button that does. */
export const copyBlock = (text, label) => {
  const button = el('button', { type: 'button', class: 'quiet', 'aria-label': `Copy ${label}` }, 'Copy')
  button.addEventListener('click', async () => {
    const done = await navigator.clipboard.writeText(text).then(
      () => 'Copied',
      () => 'Select it',
    )
    button.textContent = done
    setTimeout(() => {
      button.textContent = 'Copy'
    }, 1500)
  })
  return el('div', { class: 'copy' }, el('pre', { tabIndex: 0, 'aria-label': label }, el('code', {}, text)), button)
}

/** A device that follows its owner's changes over a real connection. */
import type { Origin } from './origin.ts'

export interface Change {
  readonly cursor: string
  readonly kind: string
  readonly asset_id: string
}

/** Collects events until `stop`; resolves `ended` when the server ends the stream. */
export const follow = async (origin: Origin, query: string, lastEventId?: string) => {
  const leave = new AbortController()
  const response = await origin.api(`/sync/events${query}`, {
    signal: leave.signal,
    ...(lastEventId !== undefined && { headers: { 'Last-Event-ID': lastEventId } }),
  })
  const changes: Change[] = []
  const read = async () => {
    let text = ''
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const line of blocks.join('\n').split('\n'))
        if (line.startsWith('data: ')) changes.push(JSON.parse(line.slice(6)) as Change)
    }
  }
  const ended = read().then(
    () => 'whole',
    () => 'cut',
  )
  return { response, changes, ended, stop: () => leave.abort() }
}

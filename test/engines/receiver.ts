/** An application that is told: an HTTP server that keeps what it hears, and checks signatures with the reference library. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'

export const WEBHOOK_SECRET = `whsec_${Buffer.from('a secret of twenty-nine bytes').toString('base64')}`

export interface Heard {
  readonly id: string
  readonly type: string
  readonly data: {
    readonly hash: string
    readonly scan: { readonly state: string } | null
    readonly assets: readonly Readonly<Record<string, unknown>>[]
    readonly has_more_assets: boolean
  }
}

export interface Receiver extends AsyncDisposable {
  readonly url: string
  /** Only messages whose signature is right. */
  readonly heard: readonly Heard[]
  /** Of messages that were refused, by `status` or for their signature. */
  readonly refused: readonly string[]
  /** What it answers; 204 at first. */
  status: number
}

export const startReceiver = async (): Promise<Receiver> => {
  const heard: Heard[] = []
  const refused: string[] = []
  const state = { status: 204 }
  const verifier = new Webhook(WEBHOOK_SECRET)
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const id = String(request.headers['webhook-id'])
    const body = await text(request)
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
    try {
      const message = verifier.verify(body, headers) as Omit<Heard, 'id'>
      if (state.status < 300) heard.push({ ...message, id })
      else refused.push(id)
      response.writeHead(state.status, state.status === 302 ? { Location: '/elsewhere' } : {}).end()
    } catch {
      refused.push(`${id}: wrong signature`)
      response.writeHead(401).end()
    }
  }
  const server = createServer((request, response) => void take(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(state, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    heard,
    refused,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

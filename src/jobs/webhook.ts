/** Messages to an application's own address, signed as Standard Webhooks says (github.com/standard-webhooks/standard-webhooks, spec 1.0). */
import { createHmac } from 'node:crypto'

export interface WebhookAddress {
  readonly url: string
  /** Shared with the receiver: at least 24 bytes. */
  readonly secret: Buffer
}

export interface WebhookMessage {
  /** The same whenever the message is sent again: by it a receiver knows what it has had. */
  readonly id: string
  readonly body: string
}

export interface Webhook {
  /** @throws Error when nobody answers, or with anything but 2xx; the signal's reason. */
  send(message: WebhookMessage, signal: AbortSignal): Promise<void>
}

export const createWebhook = ({ url, secret }: WebhookAddress): Webhook => ({
  send: async (message, signal) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...signatureOf(secret, message, new Date()) },
      body: message.body,
      // What is signed for one address is not for another.
      redirect: 'error',
      signal,
    })
    await response.body?.cancel()
    if (!response.ok) throw new Error(`the receiver answered ${response.status}`)
  },
})

/** The three headers. @param now the time of this attempt, which receivers hold against their clock. Pure. */
export const signatureOf = (
  secret: Buffer,
  { id, body }: WebhookMessage,
  now: Date,
): Readonly<Record<string, string>> => {
  const timestamp = Math.floor(now.getTime() / 1000)
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': String(timestamp), 'webhook-signature': `v1,${signature}` }
}

/** autocannon in a process of its own: slower than `run-load`, but the generator that anybody can repeat the figures with. */
import autocannon from 'autocannon'

export interface CannonJob {
  readonly port: number
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly connections: number
  readonly seconds: number
}

export interface CannonResult {
  readonly perSecond: number
}

process.on('message', ({ port, path, headers, connections, seconds }: CannonJob) => {
  void autocannon({
    url: `http://127.0.0.1:${port}${path}`,
    headers: { ...headers },
    connections,
    duration: seconds,
  }).then(({ requests, errors, non2xx }) => {
    if (errors + non2xx > 0) throw new Error(`autocannon saw ${errors} errors and ${non2xx} answers other than 2xx`)
    process.send?.({ perSecond: requests.average } satisfies CannonResult)
  })
})

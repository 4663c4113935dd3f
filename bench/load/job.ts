/** What a load generator is told to do, and what it tells back. Plain data: it crosses a process boundary. */

/** Where requests come from. `list`: each once, then the job ends. `jpegs`: numbered copies of one picture, each distinct. */
export type Source =
  | { readonly kind: 'repeat'; readonly request: string }
  | { readonly kind: 'list'; readonly requests: readonly string[] }
  | {
      readonly kind: 'jpegs'
      readonly head: string
      readonly jpeg: Uint8Array
      readonly from: number
      /** What stands before and after the picture in the body: the rest of a form. */
      readonly wrap?: { readonly before: string; readonly after: string }
    }

export interface LoadJob {
  readonly port: number
  /** Requests under way at once, each on a connection of its own; never pipelined. */
  readonly connections: number
  readonly source: Source
  /** No request is begun after this. */
  readonly seconds: number
  /** Spread requests evenly at this rate, as far as connections are free. Absent: as fast as answers come. */
  readonly perSecond?: number
}

export interface LoadResult {
  /** Whole answers with a 2xx or 304 status. */
  readonly answered: number
  /** Other statuses by number; 0 counts connections lost in mid-answer. */
  readonly failures: Readonly<Record<number, number>>
  /** From the first request to the last answer. */
  readonly seconds: number
  readonly perSecond: number
  /** Header and body. */
  readonly bytesPerAnswer: number
  /** Milliseconds from the request's last byte handed to the kernel to the answer's last byte read. */
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/** A GET as its bytes; header names and values as given. */
export const getRequest = (path: string, headers: Readonly<Record<string, string>> = {}): string =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '',
    '',
  ].join('\r\n')

/** What Chrome 130 sends for an `<img>` from a page that got `Accept-CH`. */
export const CHROME_HEADERS = {
  Connection: 'keep-alive',
  'sec-ch-ua-platform': '"Windows"',
  'User-Agent':
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  'sec-ch-ua': '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
  'Sec-CH-DPR': '1',
  'sec-ch-ua-mobile': '?0',
  Accept: 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
  'Sec-Fetch-Site': 'same-site',
  'Sec-Fetch-Mode': 'no-cors',
  'Sec-Fetch-Dest': 'image',
  Referer: 'https://www.example.org/',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-GB,en;q=0.9',
} as const

/** What the terminal shows when the server is up: where it is, and the one line that uploads a photo. */
import { relative } from 'node:path'
import type { Secrets } from './first-start.ts'

export interface BannerFacts {
  readonly port: number
  readonly dataFolder: string
  readonly secrets: Secrets
  /** A photo to try with, relative to the current folder. */
  readonly samplePhoto: string
}

/** The admin key itself is printed at the first start only; later lines let the shell read it from its file. */
export const banner = ({ port, dataFolder, secrets, samplePhoto }: BannerFacts): string => {
  const address = `http://localhost:${port}`
  const within = relative(process.cwd(), dataFolder)
  const data = within === '' || within.startsWith('..') ? dataFolder : within
  const key = secrets.adminKeyInShell.replace(dataFolder, data)
  const firstStart = secrets.adminKeyIsNew
    ? ['', `  Admin key   ${secrets.adminKey}   (shown this once; kept in ${data}/admin-key)`]
    : []
  const page = secrets.adminKeyIsNew ? `${address}/#key=${secrets.adminKey}` : address
  return [
    '',
    `  Oriel is listening on ${address}, data in ${data}`,
    ...firstStart,
    '',
    `  Drop a photo on ${page}`,
    '  or upload one from here:',
    '',
    `  curl -H "Authorization: Bearer ${key}" -H "Content-Type: image/jpeg" --data-binary @${samplePhoto} ${address}/assets/upload`,
    '',
    '',
  ].join('\n')
}

/** The shared corpus of real pictures, where it is: `../shared/corpus` beside the checkout. A fresh clone has none. */
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const CORPUS = fileURLToPath(new URL('../../../shared/corpus', import.meta.url))

export const hasCorpus = existsSync(CORPUS)

/** Absolute paths of a folder's files, sorted; empty without the corpus. */
export const corpusFiles = (folder: string): readonly string[] =>
  hasCorpus
    ? readdirSync(`${CORPUS}/${folder}`)
        .sort()
        .map((name) => `${CORPUS}/${folder}/${name}`)
    : []

export const corpusFile = (path: string): string => `${CORPUS}/${path}`

if (!hasCorpus)
  console.log('left out: the shared corpus is not here (../shared/corpus), so only made pictures are tried')

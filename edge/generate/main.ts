/** `npm run edge`: writes every generated file of `nginx/` and `edge/`. */
import { writeFileSync } from 'node:fs'
import { GENERATED_FILES } from './files.ts'

for (const [path, text] of Object.entries(GENERATED_FILES)) {
  writeFileSync(new URL(`../../${path}`, import.meta.url), text)
  process.stdout.write(`${path}\n`)
}

/** Every generated file by its path in the repository; a test compares them with what is committed. */
import { renderCloudFrontFunction, renderCloudflareWorker } from './javascript.ts'
import { renderNginx } from './nginx.ts'
import { renderVarnish } from './varnish.ts'

export const GENERATED_FILES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(renderNginx()).map(([name, text]) => [`nginx/${name}`, text])),
  'edge/varnish.vcl': renderVarnish(),
  'edge/cloudfront-function.js': renderCloudFrontFunction(),
  'edge/cloudflare-worker.js': renderCloudflareWorker(),
}

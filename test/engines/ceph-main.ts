/** `node test/engines/ceph-main.ts`: a throw-away S3 store to try things with, until it is interrupted. Prints what an origin needs. */
import { once } from 'node:events'
import { startCeph } from './ceph.ts'

await using ceph = await startCeph()
const bucket = await ceph.createBucket()
const variables = { ORIEL_BLOBS: `s3://${bucket}?endpoint=${ceph.endpoint}`, ...ceph.credentials }
for (const [name, value] of Object.entries(variables)) process.stdout.write(`export ${name}='${value}'\n`)
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])

/** A load generator in a process of its own, so that its work shows in nobody's latency: one job a message, one result back. */
import type { LoadJob } from './job.ts'
import { runLoad } from './run-load.ts'

process.on('message', (job: LoadJob) => {
  void runLoad(job).then((result) => process.send?.(result))
})

/** Quotas by the configuration, in Redis where there is one, else for this process alone. */
import type { Config } from '../config/environment.ts'
import type { SharedRedis } from './coordination/redis.ts'
import { createInProcessLimits } from './coordination/token-bucket.ts'
import { createQuota, type Quota, type QuotaLimits, type QuotaRules, rulesInUnits } from './http/quota.ts'

export const composeQuota = (config: Config, redis: SharedRedis | undefined): Quota => {
  const rules = rulesInUnits({
    ...(config.ORIEL_LIMIT_UPLOADS && { uploads: config.ORIEL_LIMIT_UPLOADS }),
    ...(config.ORIEL_LIMIT_UPLOAD_BYTES && { 'upload-bytes': config.ORIEL_LIMIT_UPLOAD_BYTES }),
    ...(config.ORIEL_LIMIT_PRECHECKS && { prechecks: config.ORIEL_LIMIT_PRECHECKS }),
    ...(config.ORIEL_LIMIT_CLAIMS && { claims: config.ORIEL_LIMIT_CLAIMS }),
  }) as Required<QuotaRules>
  const limits: QuotaLimits = redis ? redis.limits(rules) : createInProcessLimits(rules)
  return createQuota(limits, rules, config.ORIEL_LIMIT_ADMIN === '1')
}

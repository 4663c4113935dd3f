/** What analytics needs of a logger; pino's own shape. */
type Log = (facts: object, message: string) => void

export interface AnalyticsLog {
  readonly info: Log
  readonly warn: Log
  readonly error: Log
}

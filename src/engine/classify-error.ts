/** Whatever a driver threw, as a failure the core can decide on; or nothing, when what happened is not known. */
import { type MigrationFailure, MigrationError } from '../core/migration/failure.ts'

export const describeError = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const cause =
    error.cause instanceof Error && !error.message.includes(error.cause.message) ? ` (${error.cause.message})` : ''
  return `${error.message}${cause}`
}

/** @returns undefined when the outcome is unknown: interrupted, timed out, or an error nobody foresaw */
export const knownFailure = (error: unknown): MigrationFailure | undefined =>
  error instanceof MigrationError ? error.failure : undefined

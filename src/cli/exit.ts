/** Exit codes, and the errors that carry them. A contract: scripts depend on these numbers. */
import { ConfigMissing } from '../config/load-config.ts'
import { ConfigError } from '../config/yaml-file.ts'
import { UnknownPolicy } from '../core/policy/policy-by-name.ts'
import { UnitError } from '../core/units.ts'
import { SiteHeld } from '../engine/site-lock.ts'
import { NoController } from '../engine/control-socket.ts'

export const exitCode = {
  asAsked: 0,
  /** Some VMs failed or stayed. */
  partly: 1,
  usage: 2,
  /** By a safety rule; the message names the flag that allows it. */
  refused: 3,
  infeasible: 4,
  interrupted: 130,
} as const
export type ExitCode = (typeof exitCode)[keyof typeof exitCode]

/** Ends the command with a message for the operator. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: ExitCode
  constructor(code: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
export const usageError = (message: string): CliError => new CliError(exitCode.usage, message)

/** What was thrown, as an exit code and what to tell. Only errors nobody foresaw show where they come from. */
export function explainError(error: unknown): { readonly code: ExitCode; readonly message: string } {
  if (error instanceof CliError) return { code: error.code, message: error.message }
  if (error instanceof ConfigError) {
    return {
      code: exitCode.usage,
      message: `${error.problems.length} mistake${error.problems.length === 1 ? '' : 's'}:\n${error.message}`,
    }
  }
  if (error instanceof ConfigMissing || error instanceof UnitError || error instanceof UnknownPolicy) {
    return { code: exitCode.usage, message: error.message }
  }
  if (error instanceof SiteHeld) return { code: exitCode.refused, message: error.message }
  if (error instanceof NoController) return { code: exitCode.partly, message: error.message }
  if (error instanceof Error && error.name.startsWith('Lab')) return { code: exitCode.usage, message: error.message }
  if (error instanceof Error && error.name.startsWith('Journal'))
    return { code: exitCode.partly, message: error.message }
  const message =
    error instanceof Error
      ? process.env['LIFEBOAT_DEBUG'] === undefined
        ? error.message
        : (error.stack ?? error.message)
      : String(error)
  return { code: exitCode.partly, message: `${message}\n(LIFEBOAT_DEBUG=1 shows where this comes from)` }
}

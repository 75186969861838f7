/** What QEMU says when it refuses, as failures the core knows. QEMU has one error class for nearly everything, so its words are read. */
import type { VmId } from '../../core/ids.ts'
import { MigrationError, type MigrationFailure } from '../../core/migration/failure.ts'
import { QmpCommandError } from '../../qmp/public.ts'
import { CommandFailed, CommandUnavailable, HostUnreachable } from '../../remote/remote.ts'

const outOfMemory = /cannot set up guest memory|cannot allocate memory|out of memory/i
const pathTrouble =
  /connection (refused|reset|timed out)|no route to host|network is unreachable|broken pipe|failed to connect|unable to (read|write)/i

/** While a target is made ready. */
export function targetFailure(vm: VmId, error: unknown): unknown {
  const make = (code: Extract<MigrationFailure, { detail: string }>['code']): MigrationError =>
    new MigrationError(vm, { code, detail: error instanceof Error ? error.message : String(error) }, { cause: error })
  if (error instanceof MigrationError) return error
  if (error instanceof HostUnreachable) return make('target-unreachable')
  if (error instanceof CommandUnavailable) return make('target-refused')
  if (error instanceof CommandFailed)
    return make(outOfMemory.test(error.message) ? 'target-out-of-memory' : 'target-refused')
  if (error instanceof QmpCommandError)
    return make(/address already in use/i.test(error.desc) ? 'no-free-port' : 'target-refused')
  return error
}

/** While the source is told to send. */
export function sourceFailure(vm: VmId, error: unknown): unknown {
  if (!(error instanceof QmpCommandError)) return error
  const code = pathTrouble.test(error.desc) ? 'path-lost' : 'source-refused'
  return new MigrationError(vm, { code, detail: error.message }, { cause: error })
}

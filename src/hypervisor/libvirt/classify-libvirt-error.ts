/** What libvirt says when a migration does not go, as failures the core knows. Codes: include/libvirt/virterror.h; where one code serves many, its words are read. */
import type { VmId } from '../../core/ids.ts'
import { MigrationError, type MigrationFailure } from '../../core/migration/failure.ts'
import { errorCode, LibvirtCallError } from '../../libvirt/public.ts'
import { HostUnreachable } from '../../remote/remote.ts'

type Code = Extract<MigrationFailure, { detail: string }>['code']

const outOfMemory = /cannot allocate memory|cannot set up guest memory|out of memory/i
const noPort = /unable to find an unused port/i
/** The source's daemon says so of the target's. */
const targetSilent =
  /unable to connect to server|failed to connect to remote libvirt|cannot recv data|end of file while reading|lost connection to destination/i
const pathTrouble =
  /connection (refused|reset|timed out)|no route to host|network is unreachable|broken pipe|unable to (read|write)|keepalive|closed due to|unexpectedly failed|input\/output error|migration out job: /i
const onTarget = /already exists|already active|unsupported configuration|not supported by|cannot access|no such file/i

/** Codes that say it all. */
const byCode = new Map<number, Code>([
  [errorCode.operationAborted, 'cancelled'],
  [errorCode.domainExists, 'target-refused'],
  [errorCode.noDomain, 'source-refused'],
  [errorCode.migrateUnsafe, 'source-refused'],
  [errorCode.operationDenied, 'source-refused'],
  [errorCode.accessDenied, 'source-refused'],
  [errorCode.authFailed, 'target-refused'],
])

/** Of a migration that libvirt ended itself. */
export function failureOf(error: LibvirtCallError): MigrationFailure {
  return { code: byCode.get(error.code) ?? byWords(error.said), detail: error.said }
}

function byWords(said: string): Code {
  if (outOfMemory.test(said)) return 'target-out-of-memory'
  if (noPort.test(said)) return 'no-free-port'
  if (targetSilent.test(said)) return 'target-unreachable'
  if (pathTrouble.test(said)) return 'path-lost'
  return onTarget.test(said) ? 'target-refused' : 'hypervisor-error'
}

/** While the source is told to send. What the connection itself did says nothing about the VM. */
export function sourceFailure(vm: VmId, error: unknown): unknown {
  if (!(error instanceof LibvirtCallError)) return error
  return new MigrationError(vm, failureOf(error), { cause: error })
}

/** While a target is asked. */
export function targetFailure(vm: VmId, error: unknown): unknown {
  if (error instanceof HostUnreachable)
    return new MigrationError(vm, { code: 'target-unreachable', detail: error.message }, { cause: error })
  if (error instanceof LibvirtCallError)
    return new MigrationError(vm, { code: 'target-refused', detail: error.said }, { cause: error })
  return error
}

/** Writes a VM's policy into its `vm.json`: the definition that goes with it. */
import type { HostId, VmId } from '../../core/ids.ts'
import type { PolicyWords } from '../../core/inventory/policy-words.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import { CommandFailed, CommandUnavailable, HostUnreachable } from '../../remote/remote.ts'
import { PolicyNotWritten, type WhyNotWritten } from '../policy-not-written.ts'
import { definitionFile, printDefinition, withWords } from './definition.ts'
import type { VmFolder } from './vm-folder.ts'

const mayNot = /permission denied|operation not permitted|read-only file system/i

interface Writing {
  readonly vm: VmId
  readonly host: HostId
  readonly own: PolicyWords
}

/** @throws PolicyNotWritten */
export async function writePolicy(folder: VmFolder, { vm, host, own }: Writing, signal: AbortSignal): Promise<void> {
  try {
    const entry = await folder.read(vm, signal)
    const changed = entry?.as === 'living' ? withWords(entry.definition, own) : undefined
    if (changed !== undefined && (await folder.rewrite(changed, printDefinition(changed), signal))) return
    throw new PolicyNotWritten(vm, host, 'no-such-vm', `${folder.dirOf(vm)}/${definitionFile} is not there`)
  } catch (error) {
    throw told(vm, host, error)
  }
}

function told(vm: VmId, host: HostId, error: unknown): unknown {
  const make = (code: WhyNotWritten, why: string): PolicyNotWritten =>
    new PolicyNotWritten(vm, host, code, why, { cause: error })
  if (error instanceof HostUnreachable) return make('unreachable', error.message)
  if (error instanceof MigrationError) return make('refused', error.message)
  if (error instanceof CommandUnavailable) return make('refused', error.message)
  if (!(error instanceof CommandFailed)) return error
  return make(mayNot.test(error.message) ? 'not-allowed' : 'refused', error.message)
}

/** What ended the copy of a disk, where the words of QEMU tell. */
import type { MigrationFailure } from '../core/migration/failure.ts'

const full = /no space left|disk quota exceeded|file too large/i

/**
 * @param said by QEMU or libvirt
 * @param target what an operator calls the host
 * @returns undefined where it says nothing that other words for failures would not say as well
 */
export function diskFailure(said: string, target: string): MigrationFailure | undefined {
  if (!full.test(said)) return undefined
  const detail = `the storage of ${target} filled up while a disk was copied (${said}); the VM runs on at home. Make room there, then evacuate again`
  return { code: 'target-refused', detail }
}

/** Why a host will not do for a VM, with the numbers. The plan, the log, the screen and the test all print this object. */
import { assertNever } from '../assert-never.ts'
import type { PlaceId, SiteId, VmId } from '../ids.ts'
import { type Bytes, showBytes } from '../units.ts'

export type Refusal =
  | { readonly why: 'memory'; readonly need: Bytes; readonly free: Bytes }
  | { readonly why: 'endangered'; readonly site: SiteId }
  | { readonly why: 'not-chosen'; readonly site: SiteId }
  /** The VM's own policy names others. */
  | { readonly why: 'not-allowed'; readonly allowed: readonly PlaceId[] }
  | { readonly why: 'anti-affinity'; readonly name: string; readonly beside: VmId }
  | { readonly why: 'unreachable'; readonly detail: string }
  | { readonly why: 'no-path'; readonly from: SiteId; readonly to: SiteId }
  /** In journals of before disks were copied. */
  | { readonly why: 'local-disk'; readonly disk: string; readonly size: Bytes }
  | { readonly why: 'failed-before'; readonly detail: string }

export function showRefusal(refusal: Refusal): string {
  switch (refusal.why) {
    case 'memory':
      return `needs ${showBytes(refusal.need)} of memory, ${showBytes(refusal.free)} free (short by ${showBytes(refusal.need - refusal.free)})`
    case 'endangered':
      return `is in ${refusal.site}, which is endangered itself`
    case 'not-chosen':
      return `is in ${refusal.site}, which is not among the targets`
    case 'not-allowed':
      return `its policy allows only ${refusal.allowed.join(', ')}`
    case 'anti-affinity':
      return `beside VM ${refusal.beside}, which has the same anti-affinity "${refusal.name}"`
    case 'unreachable':
      return `does not answer: ${refusal.detail}`
    case 'no-path':
      return `no path from ${refusal.from} to ${refusal.to}`
    case 'local-disk':
      return `disk ${refusal.disk} (${showBytes(refusal.size)}) is not on shared storage`
    case 'failed-before':
      return refusal.detail
    default:
      return assertNever(refusal)
  }
}

/** What is known of a migration that was never made. */
import { bytes } from '../core/units.ts'
import type { Sample } from './hypervisor.ts'

export const noSample: Sample = {
  status: 'none',
  sent: bytes(0),
  remaining: bytes(0),
  total: bytes(0),
  disk: undefined,
  zero: bytes(0),
  round: 0,
  dirtyRate: undefined,
  throttle: 0,
  expectedDowntime: undefined,
  downtime: undefined,
  error: undefined,
}

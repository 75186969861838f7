/** How long the shell waits for answers. Generous: hosts of a dying site are slow; but never for ever. */
import { ms } from '../core/units.ts'

/** A sample of a running migration is due this often. */
export const sampleEvery = ms(1_000)
export const tickEvery = ms(1_000)
/** One question to one hypervisor: a round trip over a bad link, on a loaded host. */
export const answersWithin = ms(15_000)
/** Starting a target: a process start, perhaps over ssh. */
export const preparesWithin = ms(60_000)
/** From "sent whole" to "runs at the target". */
export const finishesWithin = ms(60_000)
/** Ending a process and seeing it gone. */
export const retiresWithin = ms(30_000)
/** A broken post-copy is tried to be joined again this long before both sides are asked afresh. */
export const recoversWithin = ms(60_000)
export const recoverEvery = ms(2_000)

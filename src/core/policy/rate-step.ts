/** Caps as hypervisors keep them: libvirt's are whole MiB a second (virDomainMigrateSetMaxSpeed), QEMU's are exact. */
import type { HostId } from '../ids.ts'
import { findHost, type Snapshot } from '../inventory/snapshot.ts'

/** 1 where caps are exact. @unit bytes per second */
export const rateStepOf = (snapshot: Snapshot, source: HostId): number => findHost(snapshot, source)?.rateStep ?? 1

/**
 * The highest cap that can be kept and is no more than `rate`, or the least there is. Who decides has to reckon with it: a cap that was
 * asked for and is not kept looks like a path that carries less.
 */
export const inSteps = (rate: number, step: number): number =>
  step <= 1 ? rate : Math.max(step, Math.floor(rate / step) * step)

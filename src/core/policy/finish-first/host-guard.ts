/**
 * What an overloaded host is spared. Its guests still serve somebody, and a migration that gets no processor is no faster for company: no
 * more at a time are tried out of it, and nothing is squeezed that costs it much. What flows goes on, and what is known to be needed to
 * fill a path still starts: its guests are better off elsewhere, and each that leaves takes its load along.
 */
import { hostLoad } from '../../forecast/host-signal.ts'
import type { HostId } from '../../ids.ts'
import type { Queued } from '../../migration/migration.ts'
import type { PolicyView } from '../policy.ts'
import type { Circumstances } from './start-options-for.ts'

export const isOverloadedNow = ({ hostLoads, now }: PolicyView, host: HostId): boolean =>
  hostLoad(hostLoads.get(host), now) === 'overloaded'

export const circumstancesOf = (view: PolicyView, { source, attempts }: Queued): Circumstances => ({
  again: attempts > 0,
  overloaded: isOverloadedNow(view, source),
})

/** A libvirt host as the preflight asks it. Has a connection of its own, so that a long question does not hold up others. */
import type { Clock } from '../../time/clock.ts'
import { filesSeen } from '../probe-files.ts'
import type { PreflightProbe, ProbedHost } from '../preflight-probe.ts'
import { Daemon } from './daemon.ts'
import { probeHost } from './probe-host.ts'
import { probeTarget } from './probe-target.ts'
import { probeVms } from './probe-vms.ts'

/** @param uri how this process reaches its daemon */
export function libvirtProbe(uri: string, about: ProbedHost, clock: Clock): PreflightProbe {
  const daemon = new Daemon(uri, clock)
  return {
    host: (seen, signal) => probeHost(daemon, about, seen, signal),
    vms: (listings, signal) => probeVms(daemon, about.id, listings, signal),
    answers: async (vms, signal) =>
      probeTarget(daemon, about.id, vms, await filesSeen(about.remote, vms, signal), signal),
    close: () => daemon.close(),
  }
}

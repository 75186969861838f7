/**
 * Simulated hosts, guests and migrations: the truth of a simulated world, whatever a controller believes. Everything that a hypervisor
 * can be told is a method; everything that it does by itself happens on the kernel. It keeps count of who runs where: a guest that
 * would run twice is an error thrown here, not a result.
 */
import type { SeenOnPath } from '../forecast/path-signal.ts'
import type { HostId, SiteId, VmId } from '../ids.ts'
import type { Snapshot } from '../inventory/snapshot.ts'
import { bytesToMove, type DirtyModel, localDiskBytes, type Vm } from '../inventory/vm.ts'
import type { Tuning } from '../migration/migration.ts'
import type { Presence } from '../migration/presence.ts'
import type { StartOptions } from '../migration/start-options.ts'
import { bytes, bytesPerSecond, fraction, showBytes } from '../units.ts'
import { around, type Chance } from './chance.ts'
import type { SeenOfHost } from '../forecast/host-signal.ts'
import type { Kernel } from './kernel.ts'
import { seenOnPaths } from './monitor.ts'
import { SimNetwork, type SimPath } from './network.ts'
import { dirtiedWithin, type Guest } from './physics/guest-memory.ts'
import { shareOut } from './physics/share.ts'
import {
  backoffMost,
  backoffShare,
  connectGivesUpAfter,
  crowdedFrom,
  leastOfThread,
  setupRoundTrips,
  switchoverRoundTrips,
  switchoverTakes,
  tcpGivesUpAfter,
} from './physics/timings.ts'
import { guestsVary } from './physics/variation.ts'
import type { Ends, FailsHow, PathChange } from './timeline.ts'
import { copiesDisks, endPass, flowOf, hasEnded, isConnected, milestoneIn, settle, type Transfer } from './transfer.ts'

/** What a copy of a VM is to the host that has it. */
export type Copy = 'running' | 'stopping' | 'left' | 'incoming' | 'ready' | 'split'

/** A hypervisor's "no". */
export class SimRefusal extends Error {
  override readonly name = 'SimRefusal'
  readonly how: FailsHow | 'unreachable'
  constructor(how: FailsHow | 'unreachable', detail: string) {
    super(detail)
    this.how = how
  }
}

/** The simulated controller did what must never happen. A bug in Lifeboat, or in the simulation. */
export class RanTwice extends Error {
  override readonly name = 'RanTwice'
}

const diskWrites = ({ disks }: Vm): number =>
  disks.filter(disk => !disk.shared).reduce((sum, disk) => sum + disk.write, 0)

const runs = (copy: Copy | undefined): boolean => copy === 'running'

export class SimWorld {
  readonly kernel: Kernel
  readonly #chance: Chance
  readonly network: SimNetwork
  readonly #vms = new Map<VmId, Vm>()
  readonly #dirty = new Map<VmId, DirtyModel | undefined>()
  readonly #copies = new Map<VmId, Map<HostId, Copy>>()
  readonly #down = new Map<HostId, string>()
  readonly #transfers = new Map<VmId, Transfer>()
  readonly #flowing = new Set<Transfer>()
  readonly #failing = new Map<VmId, { how: FailsHow; times: number }>()
  /** Memory that somebody else has of a host. @unit bytes */
  readonly #strangers = new Map<HostId, number>()
  /** Share of their processors that others take. */
  readonly #busy = new Map<HostId, number>()
  readonly #memory = new Map<HostId, number>()
  readonly #listeners = new Map<VmId, Set<() => void>>()
  readonly #hostsOf = new Map<SiteId, readonly HostId[]>()
  #sharing = false
  /** Told after every change of rates. */
  onRates: (() => void) | undefined

  constructor(snapshot: Snapshot, kernel: Kernel, chance: Chance) {
    this.kernel = kernel
    this.#chance = chance
    this.network = new SimNetwork(snapshot)
    for (const vm of snapshot.vms) {
      this.#vms.set(vm.id, vm)
      this.setDirty(vm.id, vm.dirty)
      this.#copies.set(vm.id, new Map([[vm.host, 'running']]))
    }
    for (const { id, memory } of snapshot.hosts) this.#memory.set(id, memory)
    for (const { id } of snapshot.sites)
      this.#hostsOf.set(
        id,
        snapshot.hosts.filter(({ site }) => site === id).map(host => host.id),
      )
  }

  // What can be asked

  presence(host: HostId, vm: VmId): Presence {
    const why = this.#down.get(host)
    if (why !== undefined) return { state: 'unreachable', detail: why }
    const transfer = this.#transfers.get(vm)
    switch (this.copyOf(vm, host)) {
      case 'running':
        return {
          state: 'running',
          migrating: transfer?.source === host && (transfer.status === 'active' || transfer.status === 'starting'),
        }
      case 'stopping':
        return { state: 'paused', as: 'leaving', detail: 'finish-migrate' }
      case 'left':
        return { state: 'paused', as: 'left', detail: 'postmigrate' }
      case 'incoming':
        return { state: 'incoming' }
      case 'ready':
        return { state: 'paused', as: 'ready', detail: 'arrived whole' }
      case 'split':
        return { state: 'split', broken: transfer?.status === 'post-copy-broken' || transfer?.status === 'failed' }
      case undefined:
        return { state: 'absent', detail: 'no process' }
    }
  }

  copyOf(vm: VmId, host: HostId): Copy | undefined {
    return this.#copies.get(vm)?.get(host)
  }

  /** Hosts on which it runs now; in post-copy it runs at its target, for as long as its pages may still come. */
  runsOn(vm: VmId): readonly HostId[] {
    const transfer = this.#transfers.get(vm)
    return [...(this.#copies.get(vm) ?? [])]
      .filter(
        ([host, copy]) => runs(copy) || (copy === 'split' && transfer?.target === host && transfer.status !== 'failed'),
      )
      .map(([host]) => host)
  }

  /** What a hypervisor would measure of a guest that runs. @unit bytes per second */
  dirtyRate(vm: VmId, span: number): number | undefined {
    const known = this.#vms.get(vm)
    if (known === undefined || this.runsOn(vm).length === 0 || span <= 0) return undefined
    const guest = { dirty: this.#dirty.get(vm), used: known.used, diskUsed: 0, diskWrites: 0, throttle: 0 }
    return (dirtiedWithin(guest, span) / span) * 1000
  }

  isDown(host: HostId): string | undefined {
    return this.#down.get(host)
  }

  transferOf(vm: VmId): Transfer | undefined {
    const transfer = this.#transfers.get(vm)
    if (transfer !== undefined) settle(transfer, this.kernel.now)
    return transfer
  }

  flowing(): Iterable<Transfer> {
    return this.#flowing
  }

  /** @returns how to stop listening */
  listen(vm: VmId, listener: () => void): () => void {
    const listeners = this.#listeners.get(vm) ?? new Set()
    this.#listeners.set(vm, listeners)
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  // What a hypervisor can be told. Each throws SimRefusal.

  prepare(target: HostId, vm: VmId): void {
    this.#insistUp(target)
    this.#failIfAsked(vm, ['target-out-of-memory', 'target-refused', 'no-free-port'])
    const there = this.copyOf(vm, target)
    if (there === 'running' || there === 'left' || there === 'stopping' || there === 'split')
      throw new SimRefusal('target-refused', `${vm} is defined at ${target} already`)
    this.#insistOnRoom(target, vm)
    this.#set(vm, target, 'incoming')
  }

  /** As QEMU finds it when it allocates: what its guests have, and what others took. */
  #insistOnRoom(host: HostId, vm: VmId): void {
    const strangers = this.#strangers.get(host) ?? 0
    // Who has over-committed a host from the start may go on with it; only what others took is in the way.
    if (strangers === 0) return
    const need = this.#vms.get(vm)?.memory ?? 0
    let taken = strangers
    for (const [other, copies] of this.#copies)
      if (other !== vm && copies.has(host)) taken += this.#vms.get(other)?.memory ?? 0
    const free = Math.max(0, (this.#memory.get(host) ?? 0) - taken)
    if (need <= free) return
    const detail = `${host} cannot allocate ${showBytes(need)} for ${vm}: ${showBytes(free)} free`
    throw new SimRefusal('target-out-of-memory', detail)
  }

  migrate(vm: VmId, source: HostId, target: HostId, tuning: Tuning, options: StartOptions): void {
    this.#insistUp(source)
    this.#failIfAsked(vm, ['source-refused'])
    if (this.copyOf(vm, source) !== 'running') throw new SimRefusal('source-refused', `${vm} does not run at ${source}`)
    if (this.#down.get(target) === undefined && this.copyOf(vm, target) !== 'incoming')
      throw new SimRefusal('path-lost', `nobody listens for ${vm} at ${target}`)
    const running = this.#transfers.get(vm)
    if (running !== undefined && !hasEnded(running))
      throw new SimRefusal('source-refused', `${vm} is on its way to ${running.target} already`)
    const now = this.kernel.now
    const known = this.#vms.get(vm)
    const total = known === undefined ? 0 : bytesToMove(known)
    const disks = known === undefined ? 0 : localDiskBytes(known)
    const transfer: Transfer = {
      vm,
      source,
      target,
      options,
      crosses: this.network.crossed(source, target),
      status: 'starting',
      total,
      disk: disks === 0 ? undefined : { copied: 0, total: disks, waiting: total - disks },
      remaining: disks === 0 ? total : disks,
      sent: 0,
      round: disks === 0 ? 1 : 0,
      roundBegan: now,
      judged: { at: now, sent: 0, dirtied: 0 },
      outrun: 0,
      throttle: 0,
      dirtyRate: undefined,
      rate: 0,
      cap: tuning.rate ?? Number.POSITIVE_INFINITY,
      downtimeLimit: tuning.downtimeLimit,
      stoppedAt: undefined,
      downtime: undefined,
      error: undefined,
      startedAt: now,
      closing: false,
      settledAt: now,
      milestone: undefined,
      patience: undefined,
      postCopyAsked: false,
      silentUntil: 0,
    }
    this.#transfers.set(vm, transfer)
    transfer.patience = this.kernel.after(connectGivesUpAfter, () => this.#break(transfer, 'connection timed out'))
    this.#connect(transfer)
  }

  adjust(vm: VmId, to: { rate?: number | undefined; downtimeLimit?: number; throttle?: number }): void {
    const transfer = this.#transfers.get(vm)
    if (transfer === undefined || hasEnded(transfer)) return
    this.#insistUp(transfer.source)
    if (to.throttle !== undefined) transfer.throttle = to.throttle
    if ('rate' in to) transfer.cap = to.rate ?? Number.POSITIVE_INFINITY
    if (to.downtimeLimit !== undefined) transfer.downtimeLimit = to.downtimeLimit
    this.shareAgain()
  }

  startPostCopy(vm: VmId): void {
    const transfer = this.#transfers.get(vm)
    if (transfer?.status !== 'active') throw new SimRefusal('source-refused', `${vm} is in no pre-copy`)
    if (copiesDisks(transfer)) throw new SimRefusal('source-refused', `the disks of ${vm} are still copied`)
    if (!transfer.options.postCopy) throw new SimRefusal('source-refused', `${vm} was not started with post-copy`)
    this.#insistUp(transfer.source)
    transfer.postCopyAsked = true
    this.shareAgain()
  }

  #beginPostCopy(transfer: Transfer): void {
    const { vm } = transfer
    settle(transfer, this.kernel.now)
    // What was written since the pass began has to go too.
    endPass(transfer, this.#guest(transfer), this.kernel.now)
    transfer.status = 'post-copy'
    transfer.stoppedAt = this.kernel.now
    this.#set(vm, transfer.source, 'split')
    this.#set(vm, transfer.target, 'split')
    this.#changed(transfer)
    this.shareAgain()
  }

  /** Joins a broken post-copy again. */
  rejoin(vm: VmId): void {
    const transfer = this.#transfers.get(vm)
    if (transfer?.status !== 'post-copy-broken') throw new SimRefusal('path-lost', `${vm} has no broken post-copy`)
    this.#insistUp(transfer.source)
    this.#insistUp(transfer.target)
    if (!this.network.connects(transfer.source, transfer.target)) throw new SimRefusal('path-lost', 'the path is cut')
    transfer.status = 'post-copy'
    transfer.silentUntil = this.kernel.now
    transfer.settledAt = this.kernel.now
    transfer.closing = false
    this.#flowing.add(transfer)
    this.#changed(transfer)
    this.shareAgain()
  }

  /** Stops sending; too late once the guest has stopped. */
  cancel(vm: VmId): void {
    const transfer = this.#transfers.get(vm)
    if (transfer === undefined || (transfer.status !== 'active' && transfer.status !== 'starting')) return
    this.#insistUp(transfer.source)
    settle(transfer, this.kernel.now)
    this.#end(transfer, 'cancelled', undefined)
  }

  /** Runs what arrived whole. Idempotent. */
  run(target: HostId, vm: VmId): void {
    this.#insistUp(target)
    const there = this.copyOf(vm, target)
    if (there === 'running' || (there === 'split' && this.#transfers.get(vm)?.status !== 'failed')) return
    if (there !== 'ready') throw new SimRefusal('target-refused', `${vm} is not whole at ${target}`)
    this.#set(vm, target, 'running')
  }

  /** Lets a stopped source go on. */
  resume(source: HostId, vm: VmId): void {
    this.#insistUp(source)
    const there = this.copyOf(vm, source)
    const transfer = this.#transfers.get(vm)
    if (there === 'stopping' && transfer !== undefined) this.#break(transfer, 'the source was let go on')
    else if (there === 'left') this.#set(vm, source, 'running')
  }

  /** Ends what is stopped at the source. Idempotent. */
  retire(source: HostId, vm: VmId): void {
    this.#insistUp(source)
    const there = this.copyOf(vm, source)
    if (there !== undefined && there !== 'left')
      throw new SimRefusal('source-refused', `${vm} is ${there} at ${source}; its process is not ended`)
    this.#set(vm, source, undefined)
  }

  /** Ends a target that has never run. Idempotent. */
  discard(target: HostId, vm: VmId): void {
    this.#insistUp(target)
    const there = this.copyOf(vm, target)
    if (there === undefined) return
    if (there !== 'incoming' && there !== 'ready')
      throw new SimRefusal('target-refused', `${vm} is ${there} at ${target}, which is no target that never ran`)
    this.#set(vm, target, undefined)
    const transfer = this.#transfers.get(vm)
    if (transfer?.target === target && !hasEnded(transfer)) this.#break(transfer, 'connection reset by the target')
  }

  // What happens to the world

  failNext(vm: VmId, how: FailsHow, times: number): void {
    this.#failing.set(vm, { how, times })
    const transfer = this.#transfers.get(vm)
    if (transfer !== undefined && !hasEnded(transfer)) this.#failInFlight(transfer)
  }

  /** Adds up. */
  occupy(host: HostId, memory: number): void {
    this.#strangers.set(host, (this.#strangers.get(host) ?? 0) + memory)
  }

  /** Its migrations' threads get what is left of a processor from now on. */
  busy(host: HostId, processors: number): void {
    this.#busy.set(host, processors)
    this.shareAgain()
  }

  seenOfHosts(): readonly SeenOfHost[] {
    return [...this.#busy].map(([host, processors]) => ({
      host,
      busy: fraction(processors),
      waiting: fraction(processors),
    }))
  }

  /** @param model what was measured of the guest; the guest itself differs a little from it */
  setDirty(vm: VmId, model: DirtyModel | undefined): void {
    const factor = around(this.#chance('guest', vm), guestsVary)
    const truth = model && {
      ...model,
      hot: bytes(Math.round(model.hot * factor)),
      cold: bytesPerSecond(model.cold * factor),
    }
    this.#dirty.set(vm, truth)
  }

  changePath(ends: Ends, change: PathChange): void {
    for (const path of this.network.between(ends)) {
      const before = path.capacity
      this.network.change(path, change)
      // A queue that overflows is felt at once; that there is more, senders find out a round trip later.
      if (path.capacity < before) this.shareAgain()
      else this.kernel.after(path.rtt, () => this.shareAgain())
    }
  }

  cut(ends: Ends): void {
    for (const path of this.network.between(ends)) this.network.cut(path, this.kernel.now)
    for (const transfer of this.#transfers.values()) this.#waitOrGiveUp(transfer)
    this.shareAgain()
  }

  heal(ends: Ends): void {
    const now = this.kernel.now
    for (const path of this.network.between(ends)) {
      if (!path.cut) continue
      this.network.heal(path)
      for (const transfer of this.#transfers.values()) {
        if (hasEnded(transfer) || this.network.pathOf(transfer.source, transfer.target) !== path) continue
        const silentFor = now - Math.max(path.cutAt, transfer.startedAt)
        transfer.silentUntil = Math.max(transfer.silentUntil, now + Math.min(backoffMost, silentFor * backoffShare))
        this.kernel.at(transfer.silentUntil, () => {
          if (transfer.status === 'starting') this.#connect(transfer)
          else this.#goOn(transfer)
        })
      }
    }
    this.shareAgain()
  }

  /** Every connection of a running migration ends at once, as when a router loses its state. */
  breakConnections(): void {
    for (const transfer of this.#transfers.values())
      if (isConnected(transfer)) this.#break(transfer, 'connection reset')
  }

  /** Its guests die, and it cannot be reached any more. */
  hostDown(host: HostId, why: string): void {
    if (this.#down.has(host)) return
    this.#down.set(host, why)
    for (const [vm, copies] of this.#copies) {
      if (!copies.has(host)) continue
      copies.delete(host)
      const transfer = this.#transfers.get(vm)
      if (transfer === undefined || hasEnded(transfer)) continue
      if (transfer.source === host) {
        settle(transfer, this.kernel.now)
        this.#end(transfer, 'failed', 'the source lost power')
      } else if (transfer.target === host) this.#waitOrGiveUp(transfer)
    }
    this.shareAgain()
  }

  siteDown(site: SiteId, why: string): void {
    for (const host of this.#hostsOf.get(site) ?? []) this.hostDown(host, why)
  }

  // What goes on by itself

  #guest({ vm, throttle }: Transfer): Guest {
    const known = this.#vms.get(vm)
    return {
      dirty: this.#dirty.get(vm),
      used: known?.used ?? 0,
      diskUsed: known === undefined ? 0 : localDiskBytes(known),
      diskWrites: known === undefined ? 0 : diskWrites(known),
      throttle,
    }
  }

  #insistUp(host: HostId): void {
    const why = this.#down.get(host)
    if (why !== undefined) throw new SimRefusal('unreachable', `${host} does not answer: ${why}`)
  }

  #failIfAsked(vm: VmId, here: readonly FailsHow[]): void {
    const failing = this.#failing.get(vm)
    if (failing === undefined || !here.includes(failing.how)) return
    this.#usedUp(vm, failing)
    throw new SimRefusal(failing.how, `as the timeline says: ${failing.how}`)
  }

  #usedUp(vm: VmId, failing: { how: FailsHow; times: number }): void {
    failing.times -= 1
    if (failing.times <= 0) this.#failing.delete(vm)
  }

  /** Failures that strike while memory flows. */
  #failInFlight(transfer: Transfer): void {
    const failing = this.#failing.get(transfer.vm)
    if (failing === undefined || (failing.how !== 'path-lost' && failing.how !== 'target-died')) return
    if (transfer.status !== 'active' && transfer.status !== 'starting') return
    this.#usedUp(transfer.vm, failing)
    if (failing.how === 'target-died') this.#set(transfer.vm, transfer.target, undefined)
    this.#break(transfer, `as the timeline says: ${failing.how}`)
  }

  #connect(transfer: Transfer): void {
    if (transfer.status !== 'starting') return
    const { source, target } = transfer
    if (!this.#reaches(source, target)) return
    const rtt = this.network.pathOf(source, target)?.rtt ?? 0
    this.kernel.after(setupRoundTrips * rtt, () => {
      if (transfer.status !== 'starting' || !this.#reaches(source, target)) return
      this.kernel.cancel(transfer.patience)
      transfer.status = 'active'
      transfer.settledAt = this.kernel.now
      transfer.roundBegan = this.kernel.now
      transfer.judged = { at: this.kernel.now, sent: transfer.sent, dirtied: 0 }
      this.#flowing.add(transfer)
      this.#changed(transfer)
      this.shareAgain()
      this.#failInFlight(transfer)
    })
  }

  #reaches(source: HostId, target: HostId): boolean {
    return !this.#down.has(source) && !this.#down.has(target) && this.network.connects(source, target)
  }

  #waitOrGiveUp(transfer: Transfer): void {
    if (!isConnected(transfer) || this.#reaches(transfer.source, transfer.target)) return
    // It has waited since the first cut, whatever is cut beside.
    if (transfer.patience?.cancelled === false) return
    transfer.patience = this.kernel.after(tcpGivesUpAfter, () => this.#break(transfer, 'connection timed out'))
  }

  #goOn(transfer: Transfer): void {
    if (!isConnected(transfer) || !this.#reaches(transfer.source, transfer.target)) return
    this.kernel.cancel(transfer.patience)
    if (transfer.closing) this.#sayLastWord(transfer)
    else this.shareAgain()
  }

  /** Changes of one instant are shared out once. */
  shareAgain(): void {
    if (this.#sharing) return
    this.#sharing = true
    this.kernel.at(this.kernel.now, () => {
      this.#sharing = false
      this.#share()
    })
  }

  #share(): void {
    const now = this.kernel.now
    const transfers = [...this.#flowing]
    const speaking = transfers.filter(
      transfer => transfer.silentUntil <= now && this.#reaches(transfer.source, transfer.target),
    )
    const flows = speaking.map(transfer =>
      flowOf(transfer, this.network.perStream(transfer.source, transfer.target), this.#threadShare(transfer.source)),
    )
    const rates = shareOut([...flows, ...this.network.background()])
    const given = new Map(speaking.map((transfer, at) => [transfer, rates[at] ?? 0]))
    for (const transfer of transfers) {
      const rate = given.get(transfer) ?? 0
      settle(transfer, now)
      transfer.rate = Number.isFinite(rate) ? rate : Number.MAX_SAFE_INTEGER
      if (transfer.postCopyAsked && transfer.status === 'active' && transfer.rate > 0) this.#beginPostCopy(transfer)
      this.#aim(transfer)
    }
    this.onRates?.()
  }

  /** All of a processor, until hardly any time is left; even where none is, a thread has its turn. */
  #threadShare(host: HostId): number {
    return Math.max(leastOfThread, Math.min(1, (1 - (this.#busy.get(host) ?? 0)) / crowdedFrom))
  }

  seenOnPaths(): readonly SeenOnPath[] {
    return seenOnPaths(this.network, this.#flowing)
  }

  #aim(transfer: Transfer): void {
    this.kernel.cancel(transfer.milestone)
    const span = milestoneIn(transfer, this.kernel.now)
    transfer.milestone = span === undefined ? undefined : this.kernel.after(span, () => this.#onMilestone(transfer))
  }

  #onMilestone(transfer: Transfer): void {
    const now = this.kernel.now
    settle(transfer, now)
    if (transfer.status === 'active') {
      if (!endPass(transfer, this.#guest(transfer), now)) {
        this.#aim(transfer)
        return
      }
      transfer.status = 'stopping'
      transfer.stoppedAt = now
      this.#set(transfer.vm, transfer.source, 'stopping')
      this.#changed(transfer)
      this.#aim(transfer)
      // Its cap does not hold any more.
      if (Number.isFinite(transfer.cap)) this.shareAgain()
      return
    }
    if (transfer.status !== 'stopping' && transfer.status !== 'post-copy') return
    transfer.remaining = 0
    transfer.rate = 0
    transfer.closing = true
    this.#flowing.delete(transfer)
    this.#sayLastWord(transfer)
    this.shareAgain()
  }

  #sayLastWord(transfer: Transfer): void {
    const rtt = this.network.pathOf(transfer.source, transfer.target)?.rtt ?? 0
    const lasts = transfer.status === 'stopping' ? switchoverTakes + switchoverRoundTrips * rtt : rtt
    this.kernel.cancel(transfer.milestone)
    transfer.milestone = this.kernel.after(lasts, () => this.#complete(transfer))
  }

  #complete(transfer: Transfer): void {
    if (!isConnected(transfer)) return
    // The last word needs a path, as everything before it did; when that is whole again it is said again.
    if (!this.#reaches(transfer.source, transfer.target) || this.kernel.now < transfer.silentUntil) return
    const wasSplit = transfer.status === 'post-copy'
    transfer.downtime = wasSplit ? switchoverTakes : this.kernel.now - (transfer.stoppedAt ?? this.kernel.now)
    this.#set(transfer.vm, transfer.source, 'left')
    this.#set(transfer.vm, transfer.target, wasSplit ? 'running' : 'ready')
    this.#end(transfer, 'completed', undefined)
  }

  /** The connection is gone for good: the guest goes on at home, or waits for its pages. */
  #break(transfer: Transfer, why: string): void {
    if (hasEnded(transfer)) return
    settle(transfer, this.kernel.now)
    if (transfer.status === 'post-copy' || transfer.status === 'post-copy-broken') {
      const alive = !this.#down.has(transfer.source) && !this.#down.has(transfer.target)
      if (alive) {
        transfer.status = 'post-copy-broken'
        transfer.error = why
        transfer.rate = 0
        this.kernel.cancel(transfer.milestone)
        this.#flowing.delete(transfer)
        this.#changed(transfer)
        this.shareAgain()
        return
      }
    }
    if (this.copyOf(transfer.vm, transfer.source) === 'stopping') this.#set(transfer.vm, transfer.source, 'running')
    this.#end(transfer, 'failed', why)
  }

  #end(transfer: Transfer, status: 'completed' | 'failed' | 'cancelled', why: string | undefined): void {
    transfer.status = status
    transfer.error = why
    transfer.rate = 0
    this.kernel.cancel(transfer.milestone)
    this.kernel.cancel(transfer.patience)
    this.#flowing.delete(transfer)
    this.#changed(transfer)
    this.shareAgain()
  }

  #changed({ vm }: Transfer): void {
    for (const listener of this.#listeners.get(vm) ?? []) listener()
  }

  /** @throws RanTwice */
  #set(vm: VmId, host: HostId, copy: Copy | undefined): void {
    const copies = this.#copies.get(vm) ?? new Map<HostId, Copy>()
    if (copy === undefined) copies.delete(host)
    else copies.set(host, copy)
    this.#copies.set(vm, copies)
    const running = this.runsOn(vm)
    if (running.length > 1) throw new RanTwice(`${vm} runs on ${running.join(' and ')}`)
  }

  /** What our migrations get of each path now. @unit bytes per second */
  usage(): ReadonlyMap<SimPath, number> {
    const used = new Map<SimPath, number>()
    for (const { source, target, rate } of this.#flowing) {
      const path = this.network.pathOf(source, target)
      if (path !== undefined && rate > 0) used.set(path, (used.get(path) ?? 0) + rate)
    }
    return used
  }
}

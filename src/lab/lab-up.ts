/** Brings a lab up, from nothing to guests that tick. What it is about to make is on record before it is made. */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { Clock } from '../time/clock.ts'
import { neverAborts, withDeadline } from '../time/with-deadline.ts'
import { seconds, showTime } from '../core/units.ts'
import { type GuestImage, guestImage } from './guest-image.ts'
import { labConfig } from './lab-config.ts'
import { takeDown } from './lab-down.ts'
import { LabAlreadyUp } from './lab-error.ts'
import { configFile } from './lab-names.ts'
import { type KnownProcess, labExists, type LabRecord, writeRecord } from './lab-record.ts'
import { insistOnSpec, type LabGuest, type LabSpec } from './lab-spec.ts'
import { makeNetwork } from './network.ts'
import { insistOnRequirements } from './requirements.ts'
import { startDaemons } from './start-daemons.ts'
import { startDomain } from './start-domains.ts'
import { bootsAtOnce, startGuest, waitForReady, writeDefinition } from './start-guests.ts'
import { bestWan, wanOf } from './choose-wan.ts'
import type { WanKind } from './wan.ts'

export interface LabUpOptions {
  /** The folder in which labs lie, each in its own. */
  readonly root: string
  readonly clock: Clock
  /** Told what is being done, a line at a time. */
  readonly onProgress: (line: string) => void
  /** @default what the kernel offers */
  readonly wan?: WanKind
}

/** What was made must be taken away again although its making was aborted. */
const cleanUpWithin = seconds(60)

/** @throws LabAlreadyUp, LabRequirement, LabError; nothing is left behind then */
export async function labUp(spec: LabSpec, options: LabUpOptions, signal: AbortSignal): Promise<LabRecord> {
  const { root, clock, onProgress } = options
  insistOnRequirements(undefined, spec)
  insistOnSpec(spec)
  if (labExists(root, spec.name)) {
    throw new LabAlreadyUp(
      `lab "${spec.name}" is up already (${root}/${spec.name}); take it down first: lifeboat lab down --name ${spec.name}`,
    )
  }
  const begun = clock.now()
  let record: LabRecord = {
    version: 1,
    spec,
    state: 'making',
    wan: options.wan ?? (await bestWan(spec.name, signal)),
    processes: [],
  }
  const keep = (more: readonly KnownProcess[]): void => {
    record = { ...record, processes: [...record.processes, ...more] }
    writeRecord(root, record)
  }
  writeRecord(root, record)
  try {
    onProgress(`network: ${spec.sites.length} sites, ${spec.hosts.length} hosts, WAN by ${record.wan}`)
    const image = await guestImage(root, signal)
    await makeNetwork(spec, signal)
    keep(await wanOf(record.wan, root).make(spec, signal))
    writeFileSync(configFile(root, spec.name), labConfig(root, spec))
    const start = await guestStarter(spec, options, image, keep, signal)
    await bootAll(spec, options, start, signal)
    record = { ...record, state: 'up' }
    writeRecord(root, record)
    onProgress(`lab ${spec.name} is up after ${showTime(clock.now() - begun)}`)
    return record
  } catch (error) {
    await withDeadline(clock, cleanUpWithin, `taking down what was made of lab ${spec.name}`, neverAborts, inner =>
      takeDown(root, spec.name, clock, inner),
    )
    throw error
  }
}

type StartGuest = (guest: LabGuest, signal: AbortSignal) => Promise<void>

/** Makes ready what runs guests here. @returns how one is started */
async function guestStarter(
  spec: LabSpec,
  { root, clock, onProgress }: LabUpOptions,
  image: GuestImage,
  keep: (more: readonly KnownProcess[]) => void,
  signal: AbortSignal,
): Promise<StartGuest> {
  if (spec.driver !== 'libvirt') {
    for (const guest of spec.guests) await writeDefinition(root, spec, guest, image, signal)
    return async (guest, inner) => keep([await startGuest(root, spec, guest, inner)])
  }
  onProgress(
    `libvirt: ${spec.ssh === true ? 'a daemon and an sshd' : 'a daemon'} for each of ${spec.hosts.length} hosts`,
  )
  await startDaemons(root, spec, keep, clock, signal)
  return async (guest, inner) => keep([await startDomain(root, spec, guest, image, inner)])
}

/** A few at a time: the next one starts when one is ready. */
async function bootAll(spec: LabSpec, options: LabUpOptions, start: StartGuest, signal: AbortSignal): Promise<void> {
  const { root, clock, onProgress } = options
  const left: LabGuest[] = [...spec.guests]
  let ready = 0
  const worker = async (inner: AbortSignal): Promise<void> => {
    for (let guest = left.shift(); guest !== undefined; guest = left.shift()) {
      await start(guest, inner)
      await waitForReady(root, spec, [guest], clock, () => undefined, inner)
      ready += 1
      onProgress(`guests ready ${ready} of ${spec.guests.length}`)
    }
  }
  const stop = new AbortController()
  const inner = AbortSignal.any([signal, stop.signal])
  const workers = Array.from({ length: Math.min(bootsAtOnce(availableParallelism()), left.length) }, () =>
    worker(inner),
  )
  try {
    await Promise.all(workers)
  } catch (error) {
    stop.abort(error)
    await Promise.allSettled(workers)
    throw error
  }
}

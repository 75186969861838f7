/** A scenario folder: inventory.yaml, and beside it, where there is one, timeline.yaml and policy.yaml. All mistakes of all files at once. */
import { readFileSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import type { Snapshot } from '../core/inventory/snapshot.ts'
import type { Timeline } from '../core/sim/timeline.ts'
import { namesIn } from './check-names.ts'
import { parseInventory } from './inventory-file.ts'
import { noPolicyFile, parsePolicyFile, type PolicyFile } from './policy-file.ts'
import { parseTimeline } from './timeline-file.ts'
import { ConfigError, rawYaml } from './yaml-file.ts'

export interface Scenario {
  /** Name of the folder. */
  readonly name: string
  readonly snapshot: Snapshot
  readonly timeline: Timeline
  readonly policy: PolicyFile
}

export const scenarioFiles = {
  inventory: 'inventory.yaml',
  timeline: 'timeline.yaml',
  policy: 'policy.yaml',
  expected: 'expect.log',
} as const

/** @throws ConfigError with every mistake of every file */
export function readScenario(folder: string): Scenario {
  if (!isFolder(folder)) throw problem(folder, 'is no folder; a scenario is a folder with an inventory.yaml')
  const problems: ConfigError['problems'][number][] = []
  const attempt = <T>(parse: () => T, otherwise: T): T => {
    try {
      return parse()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      problems.push(...error.problems)
      return otherwise
    }
  }
  const inventoryFile = join(folder, scenarioFiles.inventory)
  const inventory = readIfThere(inventoryFile)
  if (inventory === undefined)
    throw problem(inventoryFile, 'is not there; it says what the world is (docs/scenarios.md)')
  const snapshot = attempt<Snapshot | undefined>(() => parseInventory(inventory, inventoryFile), undefined)
  const timeline = attempt<Timeline>(() => {
    const file = join(folder, scenarioFiles.timeline)
    const text = readIfThere(file)
    return text === undefined ? [] : parseTimeline(text, file, namesIn(rawYaml(inventory)))
  }, [])
  const policy = attempt<PolicyFile>(() => {
    const file = join(folder, scenarioFiles.policy)
    const text = readIfThere(file)
    return text === undefined ? noPolicyFile : parsePolicyFile(text, file)
  }, noPolicyFile)
  if (problems.length > 0 || snapshot === undefined) throw new ConfigError(problems)
  return { name: nameOf(folder), snapshot, timeline, policy }
}

const nameOf = (folder: string): string => basename(resolve(folder))

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

const problem = (file: string, message: string): ConfigError =>
  new ConfigError([{ file, line: 1, column: 1, where: '', message }])

/** @throws ConfigError when it is there and cannot be read */
export function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined
    throw problem(file, `cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}

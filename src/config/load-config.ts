/** Finds and reads lifeboat.yaml. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { checkNames } from './check-names.ts'
import { configSchema, type Config } from './config-schema.ts'
import { parseYamlFile } from './yaml-file.ts'

/** There is no configuration where one was looked for. */
export class ConfigMissing extends Error {
  override readonly name = 'ConfigMissing'
}

export const defaultPlaces = ['./lifeboat.yaml', '/etc/lifeboat/lifeboat.yaml'] as const

export interface LoadedConfig {
  readonly file: string
  readonly config: Config
  readonly stateDir: string
}

/** `--config`, else `$LIFEBOAT_CONFIG`, else the default places. @throws ConfigMissing, ConfigError */
export function loadConfig(named: string | undefined, env: Readonly<Record<string, string | undefined>>): LoadedConfig {
  const asked = named ?? env['LIFEBOAT_CONFIG']
  const places = asked === undefined ? defaultPlaces : [asked]
  for (const place of places) {
    const file = resolve(place)
    const text = readIfThere(file)
    if (text === undefined) continue
    const config = parseYamlFile(text, file, configSchema, checkNames)
    return { file, config, stateDir: config.stateDir ?? defaultStateDir(env) }
  }
  throw new ConfigMissing(
    `no configuration: looked for ${places.join(', ')}\nwrite one (lifeboat init --site NAME=URI,URI; README, "Your own hosts"), name one with --config, or try it on this machine: lifeboat demo`,
  )
}

export function defaultStateDir(env: Readonly<Record<string, string | undefined>>): string {
  if (env['LIFEBOAT_STATE'] !== undefined) return resolve(env['LIFEBOAT_STATE'])
  if (process.getuid?.() === 0) return '/var/lib/lifeboat'
  return resolve(env['XDG_STATE_HOME'] ?? resolve(homedir(), '.local/state'), 'lifeboat')
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined
    throw new ConfigMissing(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

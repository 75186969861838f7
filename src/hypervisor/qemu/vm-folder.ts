/**
 * The folder of VM definitions on a raw QEMU host: who lives there, whose process is alive, what arrives, what left.
 *
 * A definition's file says what the VM is to this host:
 *     vm.json         lives here
 *     arriving.json   is being received, has not been told to run yet
 *     evacuated.json  left; nothing may start it here
 *
 * While a VM arrives, what its folder held before, and which images were made for it, are on record there: if it does not come, only
 * what it brought is removed. Its disks of before, which it left behind when it was evacuated from here, stay.
 */
import { z } from 'zod'
import type { VmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import { CommandFailed, type Remote, runOk } from '../../remote/remote.ts'
import { arrivingFile, definitionFile, pidFile, type QemuDefinition, tombstoneFile } from './definition.ts'
import { readDefinition, type ReadDefinition } from './read-definition.ts'

/** Names of what was in the folder before an arrival, a line each. */
const beforeFile = 'arriving-before'
/** Absolute paths of images made for an arrival, a line each; written before they are made. */
const madeFile = 'arriving-made'

export interface FolderEntry extends ReadDefinition {
  readonly as: 'living' | 'arriving'
  readonly alive: boolean
}

/** A definition that cannot be read: named, so that one bad file does not hide the others. */
export interface BadDefinition {
  readonly name: string
  readonly why: string
}

const noneLives = 44
const noFolder = 45

/** One pass over the folder; a line of JSON for each definition, the file itself in base64. `pgrep -f` finds a process by its pid file's path. */
const listScript = `
cd "$1" 2>/dev/null || exit ${noFolder}
for d in */; do
  d=\${d%/}
  for f in ${definitionFile} ${arrivingFile}; do
    [ -f "$d/$f" ] || continue
    alive=false
    pgrep -f -- "-pidfil[e] $1/$d/${pidFile} " >/dev/null && alive=true
    printf '{"name":"%s","file":"%s","alive":%s,"text":"' "$d" "$f" "$alive"
    base64 -w0 <"$d/$f"
    printf '"}\\n'
    break
  done
done`

const lineSchema = z.object({ name: z.string(), file: z.string(), alive: z.boolean(), text: z.base64() })

export class VmFolder {
  readonly #remote: Remote
  readonly #path: string

  /** @param path absolute, on the host */
  constructor(remote: Remote, path: string) {
    this.#remote = remote
    this.#path = path.replace(/\/+$/, '')
  }

  dirOf(vm: VmId): string {
    return `${this.#path}/${vm}`
  }

  /** @throws HostUnreachable; Error when there is no such folder: a typo is not a host without VMs */
  async list(
    signal: AbortSignal,
  ): Promise<{ readonly entries: readonly FolderEntry[]; readonly bad: readonly BadDefinition[] }> {
    const argv = ['sh', '-c', listScript, 'sh', this.#path]
    const listed = await this.#remote.run(argv, { maxOutput: 64 * 1_048_576 }, signal)
    if (listed.code === noFolder)
      throw new Error(
        `${this.#remote.where} has no folder ${this.#path}: correct the uri in lifeboat.yaml, or, for a host without VMs, mkdir -p ${this.#path} there`,
      )
    if (listed.code !== 0) throw new CommandFailed(this.#remote.where, argv, listed)
    const text = listed.stdout
    const entries: FolderEntry[] = []
    const bad: BadDefinition[] = []
    for (const line of text.split('\n')) {
      if (line === '') continue
      const { name, file, alive, text: encoded } = lineSchema.parse(JSON.parse(line))
      try {
        const read = readDefinition(Buffer.from(encoded, 'base64').toString('utf8'))
        entries.push({ ...read, as: file === definitionFile ? 'living' : 'arriving', alive })
      } catch (error) {
        bad.push({ name, why: explain(error) })
      }
    }
    return { entries, bad }
  }

  /** @returns undefined when this host has no such VM. @throws MigrationError when the file cannot be read as a definition */
  async read(vm: VmId, signal: AbortSignal): Promise<FolderEntry | undefined> {
    const dir = this.dirOf(vm)
    const script = `for f in ${definitionFile} ${arrivingFile}; do [ -f "$1/$f" ] && { echo "$f"; cat "$1/$f"; exit 0; }; done; exit 44`
    const result = await this.#remote.run(['sh', '-c', script, 'sh', dir], {}, signal)
    if (result.code !== 0) return undefined
    const [file, ...rest] = result.stdout.split('\n')
    try {
      const read = readDefinition(rest.join('\n'))
      return { ...read, as: file === definitionFile ? 'living' : 'arriving', alive: await this.isAlive(vm, signal) }
    } catch (error) {
      throw new MigrationError(
        vm,
        { code: 'source-refused', detail: `${dir}/${file}: ${explain(error)}` },
        { cause: error },
      )
    }
  }

  /** Whether a QEMU process of this VM exists on this host. @throws HostUnreachable when that cannot be said */
  async isAlive(vm: VmId, signal: AbortSignal): Promise<boolean> {
    // The bracket keeps the pattern from matching a shell that carries it on its own command line.
    const argv = [
      'pgrep',
      '-f',
      '--',
      `-pidfil[e] ${this.dirOf(vm).replaceAll(/[.+*?()[\]{}|^$\\]/g, '[$&]')}/${pidFile} `,
    ]
    const { code, stderr } = await this.#remote.run(argv, {}, signal)
    if (code > 1) throw new Error(`pgrep on ${this.#remote.where} ended with ${code}: ${stderr.trim()}`)
    return code === 0
  }

  async writeArriving(definition: QemuDefinition, text: string, signal: AbortSignal): Promise<void> {
    const dir = this.dirOf(definition.name)
    const script = `if [ -d "$1" ]; then
  if [ ! -f "$1/${arrivingFile}" ]; then rm -f "$1/${madeFile}"; before=$(ls -A "$1") && printf '%s\\n' "$before" >"$1/${beforeFile}"; fi
else mkdir -p "$1"; fi
cat >"$1/${arrivingFile}.new" && sync "$1/${arrivingFile}.new" && mv "$1/${arrivingFile}.new" "$1/${arrivingFile}"`
    await runOk(this.#remote, ['sh', '-c', script, 'sh', dir], { stdin: text }, signal)
  }

  /** Whether this very VM left this host earlier. */
  async wasHere(vm: VmId, uuid: string, signal: AbortSignal): Promise<boolean> {
    const argv = ['grep', '-qs', '-F', '--', uuid, `${this.dirOf(vm)}/${tombstoneFile}`]
    return (await this.#remote.run(argv, {}, signal)).code === 0
  }

  /** Images that are about to be made for an arrival. @param paths absolute */
  async recordMade(vm: VmId, paths: readonly string[], signal: AbortSignal): Promise<void> {
    const file = `${this.dirOf(vm)}/${madeFile}`
    const script = `cat >"$1.new" && sync "$1.new" && mv "$1.new" "$1"`
    await runOk(
      this.#remote,
      ['sh', '-c', script, 'sh', file],
      { stdin: paths.map(path => `${path}\n`).join('') },
      signal,
    )
  }

  /** Another VM that has not arrived yet, and that this image was made for. */
  async madeFor(vm: VmId, path: string, signal: AbortSignal): Promise<string | undefined> {
    const script = `cd "$1" 2>/dev/null && grep -lsxF -e "$2" -- */${madeFile}; exit 0`
    const said = await runOk(this.#remote, ['sh', '-c', script, 'sh', this.#path, path], {}, signal)
    const names = said.split('\n').map(line => line.slice(0, -madeFile.length - 1))
    return names.find(name => name !== '' && name !== vm)
  }

  /** What arrived lives here now. Idempotent. */
  async settle(vm: VmId, signal: AbortSignal): Promise<void> {
    const script = `cd "$1" && if [ -f ${arrivingFile} ]; then mv ${arrivingFile} ${definitionFile}; fi && rm -f ${tombstoneFile} ${beforeFile} ${madeFile} && sync .`
    await runOk(this.#remote, ['sh', '-c', script, 'sh', this.dirOf(vm)], {}, signal)
  }

  /** Removes what an arrival left behind: only when it is one, and its process is gone. Idempotent. */
  async removeArriving(vm: VmId, signal: AbortSignal): Promise<void> {
    const script = `cd "$1" 2>/dev/null || exit 0
[ -f ${definitionFile} ] && exit 0
[ -f ${arrivingFile} ] || exit 0
if [ -f ${madeFile} ]; then while IFS= read -r f; do rm -f -- "$f"; done <${madeFile}; fi
if [ ! -f ${beforeFile} ]; then cd .. && rm -rf -- "$1"; exit 0; fi
before=$(cat ${beforeFile})
for f in * .[!.]*; do
  [ -d "$f" ] || [ "$f" = ${arrivingFile} ] || printf '%s\\n' "$before" | grep -qxF -- "$f" || rm -f -- "$f"
done
rm -f ${beforeFile} ${arrivingFile}`
    await runOk(this.#remote, ['sh', '-c', script, 'sh', this.dirOf(vm)], {}, signal)
  }

  /**
   * Writes the definition of a VM that lives here anew. One that left meanwhile is not brought back.
   * @returns false when none lives here (any more). @throws CommandFailed when the folder cannot be written
   */
  async rewrite(definition: QemuDefinition, text: string, signal: AbortSignal): Promise<boolean> {
    const script = `cd "$1" 2>/dev/null && [ -f ${definitionFile} ] || exit ${noneLives}
[ -f ${tombstoneFile} ] && { echo "$1/${tombstoneFile} says that it left; remove that file if it lives here" >&2; exit 1; }
cat >${definitionFile}.new && sync ${definitionFile}.new || exit 1
[ -f ${definitionFile} ] || { rm ${definitionFile}.new; exit ${noneLives}; }
mv ${definitionFile}.new ${definitionFile} || exit 1
[ -f ${tombstoneFile} ] && { rm ${definitionFile}; exit ${noneLives}; }
sync .`
    const argv = ['sh', '-c', script, 'sh', this.dirOf(definition.name)]
    const result = await this.#remote.run(argv, { stdin: text }, signal)
    if (result.code === noneLives) return false
    if (result.code !== 0) throw new CommandFailed(this.#remote.where, argv, result)
    return true
  }

  /** Leaves a tombstone with the definition and where the VM went. Idempotent. */
  async bury(vm: VmId, wentTo: string, signal: AbortSignal): Promise<void> {
    const script = `cd "$1" 2>/dev/null || exit 0; [ -f ${definitionFile} ] || exit 0
{ printf '{"evacuatedTo":"%s","definition":' "$2"; cat ${definitionFile}; echo '}'; } >${tombstoneFile}.new && sync ${tombstoneFile}.new && mv ${tombstoneFile}.new ${tombstoneFile} && rm ${definitionFile} && sync .`
    await runOk(this.#remote, ['sh', '-c', script, 'sh', this.dirOf(vm), wentTo], {}, signal)
  }
}

const explain = (error: unknown): string =>
  error instanceof z.ZodError
    ? error.issues.map(issue => `${issue.path.join('.') || 'file'}: ${issue.message}`).join('; ')
    : error instanceof Error
      ? error.message
      : String(error)

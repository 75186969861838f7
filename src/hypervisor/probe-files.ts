/** Looks at a target for the files that VMs need there. */
import type { VmProfile } from '../core/preflight/vm-profile.ts'
import { CommandUnavailable, HostUnreachable, type Remote } from '../remote/remote.ts'

export interface FilesSeen {
  readonly present: ReadonlySet<string>
  readonly absent: ReadonlySet<string>
}
const nothingSeen: FilesSeen = { present: new Set(), absent: new Set() }

/** Who is not root may be kept from a folder and would take what is in it for missing: then only what is there is said. */
const script = `root=$(id -u)
while IFS= read -r path; do
  if [ -e "$path" ]; then printf '+%s\\n' "$path"
  elif [ "$root" = 0 ]; then printf -- '-%s\\n' "$path"
  fi
done`

export async function filesSeen(
  remote: Remote | undefined,
  vms: readonly VmProfile[],
  signal: AbortSignal,
): Promise<FilesSeen> {
  const paths = [...new Set(vms.flatMap(vm => vm.files.map(({ path }) => path)))].filter(path => !path.includes('\n'))
  if (remote === undefined || paths.length === 0) return nothingSeen
  try {
    const { stdout } = await remote.run(['sh', '-c', script], { stdin: `${paths.join('\n')}\n` }, signal)
    const lines = stdout.split('\n')
    const marked = (mark: string) => new Set(lines.filter(line => line.startsWith(mark)).map(line => line.slice(1)))
    return { present: marked('+'), absent: marked('-') }
  } catch (error) {
    if (error instanceof HostUnreachable || error instanceof CommandUnavailable) return nothingSeen
    throw error
  }
}

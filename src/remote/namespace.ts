/**
 * A Linux network namespace on this machine, as a {@link Remote}: the lab's hosts. Files and unix sockets are shared with the
 * machine, the network is not. A namespace that is gone is a host that is down.
 */
import { access } from 'node:fs/promises'
import { connectUnix } from './connect-unix.ts'
import { CommandUnavailable, HostUnreachable, type Remote } from './remote.ts'
import { spawnCommand } from './spawn-command.ts'
import { startCommand } from './start-command.ts'

/** What iproute2 says when it cannot start the program (lib/exec.c). */
const execFailed = /^exec of ".*" failed: No such file or directory/m

/** @param name as `ip netns` knows it */
export function namespaceRemote(name: string): Remote {
  const where = `namespace ${name}`
  const insist = async (): Promise<void> => {
    try {
      await access(`/run/netns/${name}`)
    } catch (error) {
      throw new HostUnreachable(`${where} does not exist (any more)`, { cause: error })
    }
  }
  return {
    where,
    async run(argv, options, signal) {
      await insist()
      const result = await spawnCommand(['ip', 'netns', 'exec', name, ...argv], options, signal)
      if (result.code !== 0 && execFailed.test(result.stderr))
        throw new CommandUnavailable(`${where}: ${argv[0] ?? 'nothing'}: no such program`)
      return result
    },
    async start(argv, signal) {
      await insist()
      return startCommand(['ip', 'netns', 'exec', name, ...argv], signal)
    },
    async connectUnix(path, signal) {
      await insist()
      return connectUnix(path, signal)
    },
    close: () => Promise.resolve(),
  }
}

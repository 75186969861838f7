/**
 * The namespaces of a process on this machine, as a {@link Remote}: a daemon in a container, or in the lab, has a network, a host name
 * and files of its own. The process is named by its pid file.
 */
import { readFile } from 'node:fs/promises'
import { connectUnix } from './connect-unix.ts'
import { CommandUnavailable, HostUnreachable, type Remote } from './remote.ts'
import { spawnCommand } from './spawn-command.ts'
import { startCommand } from './start-command.ts'

/** What nsenter (util-linux) says when it cannot start the program. */
const execFailed = /^nsenter: failed to execute .*: No such file or directory/m
/** And when the process is gone. */
const gone = /^nsenter: cannot open \/proc\/\d+\//m

/** @param pidFile absolute, on this machine */
export function insideRemote(pidFile: string): Remote {
  const where = `inside the process of ${pidFile}`
  const pid = async (): Promise<string> => {
    try {
      const text = (await readFile(pidFile, 'utf8')).trim()
      if (/^[1-9]\d*$/.test(text)) return text
      throw new HostUnreachable(`${where}: "${text.slice(0, 40)}" is no process id`)
    } catch (error) {
      if (error instanceof HostUnreachable) throw error
      throw new HostUnreachable(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
  return {
    where,
    async run(argv, options, signal) {
      const enter = ['nsenter', '--target', await pid(), '--mount', '--uts', '--net', '--']
      const result = await spawnCommand([...enter, ...argv], options, signal)
      if (result.code !== 0 && gone.test(result.stderr))
        throw new HostUnreachable(`${where}: it does not run (any more)`)
      if (result.code !== 0 && execFailed.test(result.stderr))
        throw new CommandUnavailable(`${where}: ${argv[0] ?? 'nothing'}: no such program`)
      return result
    },
    async start(argv, signal) {
      const enter = ['nsenter', '--target', await pid(), '--mount', '--uts', '--net', '--']
      return startCommand([...enter, ...argv], signal)
    },
    connectUnix,
    close: () => Promise.resolve(),
  }
}

/** The machine Lifeboat runs on, as a {@link Remote}. */
import { connectUnix } from './connect-unix.ts'
import type { Remote } from './remote.ts'
import { spawnCommand } from './spawn-command.ts'
import { startCommand } from './start-command.ts'

export const localRemote: Remote = {
  where: 'this machine',
  run: spawnCommand,
  start: startCommand,
  connectUnix,
  close: () => Promise.resolve(),
}

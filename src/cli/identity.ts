/** Who acts, for the journal and for whoever is refused. */
import { hostname, userInfo } from 'node:os'

export const whoami = (): string => `${process.env['SUDO_USER'] ?? userInfo().username}@${hostname()}`

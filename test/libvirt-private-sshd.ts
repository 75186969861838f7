/** An sshd of one's own on loopback, in the namespace of a private libvirtd: who logs in finds that one at libvirt's own place. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, listening, type PrivateLibvirtd } from './libvirt-private-daemon.ts'

export interface PrivateSshd extends AsyncDisposable {
  readonly port: number
  /** Of the user who may log in. */
  readonly keyfile: string
  /** Where its host key is the known one. */
  readonly knownHosts: string
  readonly process: ChildProcess
}

/** @returns the public half */
export function newKey(path: string): string {
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'lifeboat-test', '-f', path])
  return readFileSync(`${path}.pub`, 'utf8').trim()
}

/** @param without a program that is not there for who logs in */
export async function startSshd(
  daemon: Pick<PrivateLibvirtd, 'folder'> & { readonly process: { readonly pid?: number | undefined } },
  without: string | undefined,
  signal: AbortSignal,
): Promise<PrivateSshd> {
  const folder = mkdtempSync(join(daemon.folder, 'sshd-'))
  const port = await freePort()
  const [hostKey, keyfile, knownHosts] = ['host', 'user', 'known_hosts'].map(name => join(folder, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(knownHosts, `[127.0.0.1]:${port} ${newKey(hostKey)}\n`)
  writeFileSync(join(folder, 'authorized'), `${newKey(keyfile)}\n`)
  const settings = [
    'ListenAddress 127.0.0.1',
    `Port ${port}`,
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${join(folder, 'authorized')}`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PermitRootLogin prohibit-password',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
  ]
  writeFileSync(join(folder, 'sshd_config'), `${settings.join('\n')}\n`)
  // Where sshd confines what is not yet authenticated; the package's service makes it, and nobody else does.
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  const hide = without === undefined ? '' : `mount --bind /dev/null "$(command -v ${without})" && `
  const sshd = execFileSync('sh', ['-c', 'command -v sshd'], { encoding: 'utf8' }).trim()
  const child = spawn(
    'nsenter',
    [
      '-m',
      '-t',
      String(daemon.process.pid),
      'unshare',
      '-m',
      '--propagation',
      'private',
      'sh',
      '-c',
      `${hide}exec ${sshd} -D -e -f ${join(folder, 'sshd_config')}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const ended = once(child, 'exit')
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
  }
  try {
    const check = (): void => {
      if (child.exitCode !== null) throw new Error(`sshd ended with ${child.exitCode}: ${said}`)
    }
    await listening({ port }, check, signal)
  } catch (error) {
    await stop()
    throw error
  }
  return { port, keyfile, knownHosts, process: child, [Symbol.asyncDispose]: stop }
}

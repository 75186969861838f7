/**
 * SSH by the system's own program, so that the operator's configuration, agent, jump hosts and known hosts all count. At the other end
 * libvirt's virt-ssh-helper finds the daemon's socket; where it is missing, netcat is told.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { Duplex, type Readable, type Writable } from 'node:stream'
import { LibvirtConnectError } from './errors.ts'
import { isLastingForSsh, nextStepForSsh } from './next-step.ts'
import type { LibvirtUri } from './uri.ts'

/** One word for a POSIX shell. */
const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`

/** What is run at the other end: for a POSIX shell. @param names of the daemon's sockets, in the order in which they are tried */
export function remoteScript(uri: LibvirtUri, names: readonly string[]): string {
  const native = `exec virt-ssh-helper ${quoted(uri.mode === 'auto' ? uri.driverUri : withMode(uri))}`
  if (uri.proxy === 'native') return native
  const netcat = quoted(uri.netcat ?? 'nc')
  // Of the other side's user: only a shell there knows where.
  const folder = uri.path === '/session' ? '"${XDG_RUNTIME_DIR:-$HOME/.cache}"/libvirt' : '/run/libvirt'
  const sockets = uri.socket === undefined ? names.map(name => `${folder}/${name}`) : [quoted(uri.socket)]
  const places = sockets.join(' ')
  const viaNetcat = [
    // Some netcats stay for ever when their input ends, and hold the daemon's connection, unless they are told not to.
    `case "$(${netcat} -h 2>&1 </dev/null)" in *"-q sec"*) quit=-q0;; *) quit=;; esac`,
    `for socket in ${places}; do if [ -S "$socket" ]; then exec ${netcat} $quit -U "$socket"; fi; done`,
    `echo "no libvirt socket at" ${places} >&2; exit 1`,
  ].join('; ')
  // A socket or a netcat that was named is for netcat: the helper would choose its own.
  const mayHelp = uri.proxy === 'auto' && uri.socket === undefined && uri.netcat === undefined
  return mayHelp ? `if command -v virt-ssh-helper >/dev/null 2>&1; then ${native}; fi; ${viaNetcat}` : viaNetcat
}

const withMode = ({ driverUri, mode }: LibvirtUri): string =>
  `${driverUri}${driverUri.includes('?') ? '&' : '?'}mode=${mode}`

export function sshArguments(uri: LibvirtUri, names: readonly string[]): readonly string[] {
  const knownHosts = uri.knownHosts ?? (uri.noVerify ? '/dev/null' : undefined)
  return [
    '-T',
    '-e',
    'none',
    '-o',
    'BatchMode=yes',
    ...(uri.noVerify ? ['-o', 'StrictHostKeyChecking=no'] : []),
    ...(knownHosts === undefined ? [] : ['-o', `UserKnownHostsFile=${knownHosts}`]),
    ...(uri.port === undefined ? [] : ['-p', String(uri.port)]),
    ...(uri.user === undefined ? [] : ['-l', uri.user]),
    ...(uri.keyfile === undefined ? [] : ['-i', uri.keyfile]),
    '--',
    uri.host ?? '',
    `sh -c ${quoted(remoteScript(uri, names))}`,
  ]
}

/** What ssh said last, for the error. @unit bytes */
const keptOfStderr = 4096
/** How long ssh's last words are waited for once it has ended: a master that it left behind may hold its outputs open. @unit ms */
const forLastWords = 200

type Ssh = ChildProcessByStdio<Writable, Readable, Readable>

/** Its output and input as one stream, which ends with an error that says what ssh said. */
class SshStream extends Duplex {
  readonly #child: Ssh

  constructor(child: Ssh) {
    super()
    this.#child = child
    child.stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause()
    })
    child.stdin.on('error', () => undefined) // its end tells more
  }
  override _read(): void {
    this.#child.stdout.resume()
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, () => done())
  }
  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#child.stdin.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), () => done())
  }
  override _final(done: () => void): void {
    this.#child.stdin.end(done)
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.kill()
    done(error)
  }
}

/** Is open at once; what goes wrong is the stream's error. @throws the signal's reason */
export function openSsh(uri: LibvirtUri, names: readonly string[], signal: AbortSignal): Promise<Duplex> {
  if (signal.aborted) return Promise.reject(signal.reason)
  const program = uri.command ?? 'ssh'
  const child = spawn(program, sshArguments(uri, names), { stdio: ['pipe', 'pipe', 'pipe'] })
  const stream = new SshStream(child)
  stream.on('error', () => undefined) // until somebody else listens
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptOfStderr)
  })
  const end = (what: string): void => {
    // A master left behind would hold these open, and this process with them.
    child.stdout.destroy()
    child.stderr.destroy()
    const words = said
      .split('\n')
      .map(line => line.trim())
      .filter(line => line !== '' && !line.startsWith('Warning: Permanently added'))
      .slice(-3)
      .join(' / ')
    stream.destroy(
      new LibvirtConnectError(
        `${uri.text}: ${program} ${what}${words === '' ? '' : `: ${words}`}${nextStepForSsh(words)}`,
        { lasting: isLastingForSsh(words) },
      ),
    )
  }
  child.on('error', error => {
    stream.destroy(
      new LibvirtConnectError(`${uri.text}: ${program} could not be started: ${error.message}`, { cause: error }),
    )
  })
  child.on('exit', (code, killed) => {
    const what = `ended with ${killed ?? `code ${code}`}`
    const timer = setTimeout(() => end(what), forLastWords)
    child.once('close', () => {
      clearTimeout(timer)
      end(what)
    })
  })
  return Promise.resolve(stream)
}

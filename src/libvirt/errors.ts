/**
 * What can go wrong with a libvirt daemon:
 *
 *     LibvirtError
 *     ├── LibvirtUriError        a URI that is none, or of a kind this client does not speak
 *     ├── LibvirtConnectError    no connection: refused, no such socket, TLS, ssh, authentication
 *     ├── LibvirtStateError      called in the wrong run state; nothing was sent
 *     ├── LibvirtTooManyPending  the bound on unanswered calls is reached; nothing was sent
 *     ├── LibvirtProtocolError   the other side does not speak libvirt's protocol; the connection is ended
 *     ├── LibvirtCallError       the daemon refused the call: its own code, domain and words
 *     ├── LibvirtParseError      the daemon answered, and the answer is not understood: a call that was not refused took effect
 *     └── LibvirtInterrupted     the connection ended while the call was pending: its outcome is UNKNOWN
 */
export class LibvirtError extends Error {
  override readonly name: string = 'LibvirtError'
}

export class LibvirtUriError extends LibvirtError {
  override readonly name = 'LibvirtUriError'
}

export class LibvirtConnectError extends LibvirtError {
  override readonly name = 'LibvirtConnectError'
  /** Waiting cures it not: a key, a certificate, a permission, a name is wrong, and somebody has to put it right. */
  readonly lasting: boolean
  constructor(message: string, options: ErrorOptions & { readonly lasting?: boolean } = {}) {
    super(message, options)
    this.lasting = options.lasting ?? false
  }
}

export class LibvirtStateError extends LibvirtError {
  override readonly name = 'LibvirtStateError'
  readonly procedure: string
  constructor(procedure: string, runstate: string) {
    super(`${procedure}: the connection is ${runstate}, not running; nothing was sent`)
    this.procedure = procedure
  }
}

export class LibvirtTooManyPending extends LibvirtError {
  override readonly name = 'LibvirtTooManyPending'
  constructor(procedure: string, limit: number) {
    super(`${procedure}: ${limit} calls are unanswered already; nothing was sent`)
  }
}

export class LibvirtProtocolError extends LibvirtError {
  override readonly name = 'LibvirtProtocolError'
}

export class LibvirtCallError extends LibvirtError {
  override readonly name = 'LibvirtCallError'
  readonly procedure: string
  /** libvirt, include/libvirt/virterror.h, virErrorNumber. See {@link errorCode}. */
  readonly code: number
  /** Which part of libvirt says so (virErrorDomain). */
  readonly domain: number
  /** libvirt's own words. */
  readonly said: string
  constructor(procedure: string, code: number, domain: number, said: string) {
    super(`${procedure}: ${said}`)
    this.procedure = procedure
    this.code = code
    this.domain = domain
    this.said = said
  }
}

export class LibvirtParseError extends LibvirtError {
  override readonly name = 'LibvirtParseError'
  readonly procedure: string
  /** @param what `the reply`, `the error` */
  constructor(procedure: string, what: string, cause: Error) {
    super(`${procedure}: ${what} is not understood: ${cause.message}`, { cause })
    this.procedure = procedure
  }
}

export class LibvirtInterrupted extends LibvirtError {
  override readonly name = 'LibvirtInterrupted'
  readonly procedure: string
  constructor(procedure: string, cause: Error) {
    super(`${procedure}: the connection ended before the reply, the outcome is unknown: ${cause.message}`, { cause })
    this.procedure = procedure
  }
}

/** Those that callers decide on (include/libvirt/virterror.h, virErrorNumber). */
export const errorCode = {
  internalError: 1,
  noSupport: 3,
  noConnect: 5,
  invalidArg: 8,
  operationFailed: 9,
  domainExists: 28,
  operationDenied: 29,
  rpc: 39,
  noDomain: 42,
  noNetwork: 43,
  authFailed: 45,
  noStoragePool: 49,
  noStorageVol: 50,
  operationInvalid: 55,
  operationTimeout: 68,
  migratePersistFailed: 69,
  operationAborted: 78,
  authCancelled: 79,
  noDomainMetadata: 80,
  migrateUnsafe: 81,
  accessDenied: 88,
  migrateFinishOk: 93,
  authUnavailable: 94,
} as const

/**
 * What can go wrong with a monitor:
 *
 *     QmpError
 *     ├── QmpConnectError      no connection, or no greeting
 *     ├── QmpCapabilityError   the monitor lacks what was asked for
 *     ├── QmpStateError        called in the wrong run state; nothing was sent
 *     ├── QmpTooManyPending    the bound on unanswered commands is reached; nothing was sent
 *     ├── QmpProtocolError     the other side does not speak QMP; the connection is ended
 *     ├── QmpCommandError      QEMU refused the command
 *     ├── QmpParseError        QEMU answered, and the answer is not understood
 *     └── QmpInterrupted       the connection ended while the command was pending: its outcome is UNKNOWN
 */
export class QmpError extends Error {
  override readonly name: string = 'QmpError'
}

export class QmpConnectError extends QmpError {
  override readonly name = 'QmpConnectError'
}

export class QmpCapabilityError extends QmpError {
  override readonly name = 'QmpCapabilityError'
  /** What is missing: capabilities, or commands. */
  readonly missing: readonly string[]
  constructor(what: string, missing: readonly string[]) {
    super(`this QEMU lacks the ${what}: ${missing.join(', ')}`)
    this.missing = missing
  }
}

export class QmpStateError extends QmpError {
  override readonly name = 'QmpStateError'
  readonly command: string
  readonly runstate: string
  constructor(command: string, runstate: string) {
    super(`${command}: the connection is ${runstate}, not running; nothing was sent`)
    this.command = command
    this.runstate = runstate
  }
}

export class QmpTooManyPending extends QmpError {
  override readonly name = 'QmpTooManyPending'
  constructor(command: string, limit: number) {
    super(`${command}: ${limit} commands are unanswered already; nothing was sent`)
  }
}

export class QmpProtocolError extends QmpError {
  override readonly name = 'QmpProtocolError'
}

export class QmpCommandError extends QmpError {
  override readonly name = 'QmpCommandError'
  readonly command: string
  /** QEMU's class: nearly always `GenericError`; `CommandNotFound` is useful (qapi/error.json). */
  readonly errorClass: string
  /** QEMU's words. */
  readonly desc: string
  constructor(command: string, errorClass: string, desc: string) {
    super(`${command}: ${desc}`)
    this.command = command
    this.errorClass = errorClass
    this.desc = desc
  }
}

export class QmpParseError extends QmpError {
  override readonly name = 'QmpParseError'
  readonly command: string
  constructor(command: string, cause: unknown) {
    super(`${command}: the reply is not understood: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
    this.command = command
  }
}

export class QmpInterrupted extends QmpError {
  override readonly name = 'QmpInterrupted'
  readonly command: string
  constructor(command: string, cause: Error) {
    super(`${command}: the connection ended before the reply, the outcome is unknown: ${cause.message}`, { cause })
    this.command = command
  }
}

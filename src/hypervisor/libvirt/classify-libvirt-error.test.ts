import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostId, vmId } from '../../core/ids.ts'
import { MigrationError, showFailure } from '../../core/migration/failure.ts'
import { errorCode, LibvirtCallError, LibvirtConnectError } from '../../libvirt/public.ts'
import { HostUnreachable } from '../../remote/remote.ts'
import { failureOf, sourceFailure, targetFailure } from './classify-libvirt-error.ts'

const between = { from: hostId('a-1'), to: 'qemu+tls://b-1/system' }
const [a1, b1, vm] = [hostId('a-1'), hostId('b-1'), vmId('web')]
const call = (said: string, code: number = errorCode.operationFailed): LibvirtCallError =>
  new LibvirtCallError('domainMigratePerform3Params', code, 10, said)

test('what libvirt 9.0 and QEMU 7.2 say when a migration does not go is told apart, with both ends', () => {
  for (const [said, code] of [
    [
      "internal error: unable to execute QEMU command 'object-add': Unable to access credentials /etc/pki/qemu/ca-cert.pem: No such file or directory",
      'target-unfit',
    ],
    [
      "internal error: unable to execute QEMU command 'object-add': The server certificate /etc/pki/qemu/server-cert.pem has expired",
      'target-unfit',
    ],
    [
      'internal error: qemu unexpectedly closed the monitor: qemu-system-x86_64: Cannot read from TLS channel: Input/output error\nqemu-system-x86_64: Not a migration stream',
      'target-unfit',
    ],
    [
      'internal error: qemu unexpectedly closed the monitor: qemu-system-x86_64: Cannot read from TLS channel: Input/output error\nqemu-system-x86_64: load of migration failed',
      'path-lost',
    ],
    ["operation failed: job 'migration out' failed: Certificate does not match the hostname b-1", 'target-unfit'],
    [
      'operation failed: Failed to connect to remote libvirt URI qemu+ssh://root@b-1/system: Cannot recv data: Host key verification failed.: Connection reset by peer',
      'target-unfit',
    ],
    ["unable to connect to server at 'b-1:16509': Connection refused", 'target-unreachable'],
    ['operation failed: lost connection to destination host', 'target-unreachable'],
    [
      "internal error: unable to execute QEMU command 'migrate': Failed to connect to '10.0.0.2:49152': Connection refused",
      'path-lost',
    ],
    ['internal error: Unable to find an unused port in range', 'no-free-port'],
    [
      'internal error: qemu unexpectedly closed the monitor: cannot set up guest memory: Cannot allocate memory',
      'target-out-of-memory',
    ],
    ['something that nobody has seen yet', 'hypervisor-error'],
  ] as const) {
    const failure = failureOf(call(said), between)
    assert.equal(failure.code, code, said)
    assert.match(showFailure(failure), /from a-1 to qemu\+tls:\/\/b-1/)
  }
  assert.equal(failureOf(call('Unsafe migration', errorCode.migrateUnsafe), between).code, 'cannot-move')
  assert.equal(failureOf(call('access denied', errorCode.accessDenied), between).code, 'target-unfit')
})

test('a source that does not let us is no target’s fault, and nothing it says of itself is', () => {
  const denied = sourceFailure(vm, a1, call('read only access prevents', errorCode.operationDenied))
  assert.ok(denied instanceof MigrationError)
  assert.equal(denied.failure.code, 'cannot-move')
  assert.match(denied.message, /^web: cannot-move: a-1 does not let this user migrate it/)
  const odd = sourceFailure(vm, a1, call('unsupported configuration: no'))
  assert.ok(odd instanceof MigrationError && odd.failure.code === 'source-refused')
  const lost = new HostUnreachable('gone')
  assert.equal(sourceFailure(vm, a1, lost), lost)
})

test('a target that waiting may bring back is told from one that somebody must put right', () => {
  const by = (lasting: boolean): unknown =>
    targetFailure(vm, b1, new HostUnreachable('no', { cause: new LibvirtConnectError('no', { lasting }) }))
  for (const [lasting, code] of [
    [true, 'target-unfit'],
    [false, 'target-unreachable'],
  ] as const) {
    const error = by(lasting)
    assert.ok(error instanceof MigrationError && error.failure.code === code)
    assert.match(error.message, /b-1/)
  }
})

/**
 * What libvirt says when a migration does not go, as failures the core knows, with the host that says so and what to do next. Codes:
 * include/libvirt/virterror.h; where one code serves many, its words are read.
 */
import type { HostId, VmId } from '../../core/ids.ts'
import { MigrationError, type MigrationFailure } from '../../core/migration/failure.ts'
import { errorCode, LibvirtCallError, LibvirtConnectError } from '../../libvirt/public.ts'
import { HostUnreachable } from '../../remote/remote.ts'

type Code = Extract<MigrationFailure, { detail: string }>['code']

/** What it is, and what a human can do about it, where that is known. */
interface Reading {
  readonly code: Code
  readonly next?: string
}

/** Who sends, and how its daemon was told to reach the target's. */
export interface Between {
  readonly from: HostId
  readonly to: string
}

/** Codes that say it all. */
const byCode = new Map<number, Reading>([
  [errorCode.operationAborted, { code: 'cancelled' }],
  [errorCode.domainExists, { code: 'target-refused', next: 'remove or rename it at the target' }],
  [errorCode.noDomain, { code: 'not-there', next: 'it was ended, renamed or moved by somebody else' }],
  [
    errorCode.migrateUnsafe,
    {
      code: 'cannot-move',
      next: "its disks must be on storage that both hosts share, with cache='none' or 'directsync'; mark them <shareable/> where libvirt cannot know",
    },
  ],
  [
    errorCode.operationDenied,
    { code: 'target-unfit', next: "the target's daemon lets the source's only read: name a socket that may write" },
  ],
  [
    errorCode.accessDenied,
    {
      code: 'target-unfit',
      next: "allow domain migration to the source's daemon there (polkit rules, access_drivers)",
    },
  ],
  [
    errorCode.authFailed,
    {
      code: 'target-unfit',
      next: 'certificates or keys of the two do not fit, or the name by which one is reached (peerUri)',
    },
  ],
])

/** The first that fits. QEMU's words reach us through libvirt. */
const byWords: readonly (readonly [said: RegExp, reading: Reading])[] = [
  [/cannot allocate memory|cannot set up guest memory|out of memory/i, { code: 'target-out-of-memory' }],
  [/unable to find an unused port/i, { code: 'no-free-port' }],
  [
    /access credentials|(un)?able to (load|import|read) .*(cert|key|credentials)|TLS directory|tls-creds/i,
    {
      code: 'target-unfit',
      next: 'tls: true wants ca-cert.pem, server-cert.pem and client-cert.pem with their keys at both hosts, in the migrate_tls_x509_cert_dir of qemu.conf',
    },
  ],
  // The handshake's own reason stays in the log of the source's QEMU; a path that breaks later breaks a migration stream.
  [
    /TLS channel[^]*not a migration stream/i,
    {
      code: 'target-unfit',
      next: "the TLS handshake failed: the target's certificate must have the name or address that the source uses (tlsName), be valid, and be signed by an authority that the source knows; /var/log/libvirt/qemu/ at the source has the reason",
    },
  ],
  [
    /certificate|TLS handshake|TLS peer|x509/i,
    {
      code: 'target-unfit',
      next: "renew the certificate, or give it the name or address that the source uses (tlsName), and compare the hosts' clocks",
    },
  ],
  [
    /host key verification failed|permission denied|no route to authenticate|authentication failed/i,
    {
      code: 'target-unfit',
      next: 'log in from the source to the target by hand, as root: keys and known_hosts are there',
    },
  ],
  [/unsupported flags|unexpected (flag|param)/i, { code: 'cannot-move', next: 'update libvirt, at both hosts' }],
  // The source's daemon says so of the target's.
  [
    /unable to connect to server|failed to connect to remote libvirt|cannot recv data|end of file while reading|lost connection to destination/i,
    { code: 'target-unreachable', next: "is the target's daemon up, and reached from the source so (peerUri)?" },
  ],
  [
    /connection (refused|reset|timed out)|no route to host|network is unreachable|broken pipe|unable to (read|write)|keepalive|closed due to|unexpectedly failed|input\/output error|migration out job: /i,
    { code: 'path-lost' },
  ],
  [
    /already exists|already active|unsupported configuration|not supported by|cannot access|no such file|cannot assign requested address/i,
    { code: 'target-refused' },
  ],
]

function readingOf(error: LibvirtCallError): Reading {
  return byCode.get(error.code) ?? byWords.find(([said]) => said.test(error.said))?.[1] ?? { code: 'hypervisor-error' }
}

/** Of a migration that libvirt ended itself, whoever of the two hosts gave the reason. */
export function failureOf(error: LibvirtCallError, { from, to }: Between): MigrationFailure {
  const { code, next } = readingOf(error)
  return { code, detail: `${error.said} (from ${from} to ${to})${next === undefined ? '' : `; ${next}`}` }
}

/** While the source is asked, and before anything is begun. What the connection itself did says nothing about the VM. */
export function sourceFailure(vm: VmId, host: HostId, error: unknown): unknown {
  if (!(error instanceof LibvirtCallError)) return error
  if (isDenied(error)) {
    const detail = `${host} does not let this user migrate it: ${error.said}; use a uri that may write, or allow org.libvirt.api.domain.migrate there (polkit rules)`
    return new MigrationError(vm, { code: 'cannot-move', detail }, { cause: error })
  }
  const { code } = readingOf(error)
  // Only the source was asked: whatever it says is no word on a target.
  const own = code.startsWith('target-') ? 'source-refused' : code
  return new MigrationError(vm, { code: own, detail: `${host}: ${error.said}` }, { cause: error })
}

const isDenied = ({ code }: LibvirtCallError): boolean =>
  code === errorCode.operationDenied || code === errorCode.accessDenied

/** While a target is asked. */
export function targetFailure(vm: VmId, host: HostId, error: unknown): unknown {
  const make = (code: Code, detail: string): MigrationError =>
    new MigrationError(vm, { code, detail: `${host}: ${detail}` }, { cause: error })
  if (error instanceof HostUnreachable) {
    const lasting = error.cause instanceof LibvirtConnectError && error.cause.lasting
    return make(lasting ? 'target-unfit' : 'target-unreachable', error.message)
  }
  if (error instanceof LibvirtCallError) return make(isDenied(error) ? 'target-unfit' : 'target-refused', error.said)
  return error
}

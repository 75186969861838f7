/** What a human can do about a daemon that was not reached: one sentence a cause. */

/** By the code of the system's error or of TLS (Node, `error.code`). */
const byCode: Readonly<Record<string, string>> = {
  ENOENT: 'is libvirtd (or virtqemud) running there?',
  EACCES: "be root, or join the group that may use libvirt's socket (libvirt, on most systems)",
  ECONNREFUSED:
    'is libvirtd running there and listening (libvirtd --listen, or the socket libvirtd-tcp or libvirtd-tls)?',
  ENOTFOUND: 'is the name right, and does it resolve here?',
  EAI_AGAIN: 'is the name right, and does it resolve here?',
  EHOSTUNREACH: 'is the host up, and is there a route to it?',
  ENETUNREACH: 'is the host up, and is there a route to it?',
  ETIMEDOUT: 'is the host up, and does a firewall let this port through?',
  ECONNRESET: 'does libvirtd speak TLS on this port (16514 by default)?',
  EPROTO: 'does libvirtd speak TLS on this port (16514 by default)?',
  CERT_HAS_EXPIRED: "renew the daemon's certificate, and compare the clocks of both machines",
  CERT_NOT_YET_VALID: "compare the clocks of both machines: the daemon's certificate is not valid yet",
  CERT_REVOKED: "the daemon's certificate was revoked (cacrl.pem): give the daemon a new one",
  ERR_TLS_CERT_ALTNAME_INVALID: "use a name that is in the daemon's certificate, or make one with this name in it",
}
const untrusted = "the authority that signed the daemon's certificate is not the one in cacert.pem: copy that one here"
const untrustedCodes: readonly string[] = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
]

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')

/** Certificates and permissions do not mend by themselves. */
export function isLasting(error: unknown): boolean {
  const code = codeOf(error)
  return untrustedCodes.includes(code) || /^(CERT_|ERR_TLS_CERT|EACCES$|ENOTFOUND$)/.test(code)
}

/** A line to put behind the error; empty when there is nothing to say. */
export function nextStep(error: unknown): string {
  const code = codeOf(error)
  const step = untrustedCodes.includes(code) ? untrusted : byCode[code]
  return step === undefined ? '' : `\n${step}`
}

/** By what OpenSSH, or the shell at the other end, said last. */
const bySaying: readonly (readonly [said: RegExp, step: string])[] = [
  [
    /host key verification failed|host identification has changed/i,
    'its host key is not the known one: make sure that it is the right machine, then `ssh-keygen -R HOST` and connect once by hand',
  ],
  [/permission denied \(/i, 'give the right user (qemu+ssh://USER@…) and key (?keyfile=…), or load it into ssh-agent'],
  [/could not resolve/i, 'is the name right, and does it resolve here?'],
  [/connection refused/i, 'is sshd running there, on this port?'],
  [/no route to host|network is unreachable|timed out/i, 'is the host up, and is there a route to it?'],
  [/could not proxy traffic|end of file while reading/i, 'libvirtd there ended the connection: was it restarted?'],
  [
    /not found/i,
    'install virt-ssh-helper (of libvirt-daemon) or a netcat that knows -U there, or name it with ?netcat=',
  ],
  [/no libvirt socket/i, 'is libvirtd (or virtqemud) running there, and may this user use its socket?'],
  [/permission denied/i, "may this user use libvirt's socket there (group libvirt, on most systems)?"],
  [/failed to connect|unable to connect|connect to .*failed/i, 'is libvirtd (or virtqemud) running there?'],
]

/** Whoever is not let in today is not let in tomorrow, until somebody changes it. */
export const isLastingForSsh = (said: string): boolean =>
  /host key verification failed|host identification has changed|permission denied|could not resolve hostname .*not known|not found/i.test(
    said,
  )

export function nextStepForSsh(said: string): string {
  const found = bySaying.find(([pattern]) => pattern.test(said))
  return found === undefined ? '\ndoes `ssh` by hand with the same user, host and port work?' : `\n${found[1]}`
}

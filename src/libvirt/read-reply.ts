/** What a daemon answered to a call: a result, or why there is none. */
import { LibvirtCallError, LibvirtParseError } from './errors.ts'
import { type Header, messageStatus } from './frame.ts'
import { remoteError } from './procedures.ts'
import { type Codec, decode, XdrError } from './xdr.ts'

/** @throws LibvirtCallError when the daemon refused; LibvirtParseError when what it said is not understood */
export function readReply<R>(name: string, result: Codec<R>, { status }: Header, body: Buffer): R {
  if (status === messageStatus.ok) return understood(name, 'the reply', result, body)
  const { code, domain, message } = understood(name, 'the error', remoteError, body)
  throw new LibvirtCallError(name, code, domain, message ?? `error ${code} of domain ${domain}`)
}

function understood<T>(name: string, what: string, codec: Codec<T>, body: Buffer): T {
  try {
    return decode(codec, body, what)
  } catch (error) {
    throw error instanceof XdrError ? new LibvirtParseError(name, what, error) : error
  }
}

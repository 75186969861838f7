/** `lifeboat/libvirt`: a libvirt client for Node.js, usable on its own. Needs a daemon, and nothing else. */
export { LibvirtClient, type LibvirtOptions, type LibvirtStats, type Runstate } from './client.ts'
export type { KeepaliveOptions } from './keepalive.ts'
export {
  errorCode,
  LibvirtCallError,
  LibvirtConnectError,
  LibvirtError,
  LibvirtInterrupted,
  LibvirtParseError,
  LibvirtProtocolError,
  LibvirtStateError,
  LibvirtTooManyPending,
  LibvirtUriError,
} from './errors.ts'
export {
  type ArgsOf,
  type Domain,
  type EventName,
  type LibvirtEvent,
  type Network,
  type ProcedureName,
  procedures,
  type ResultOf,
  type StoragePool,
  type StorageVolume,
} from './procedures.ts'
export { param, paramsByName, type TypedParam, type TypedValue } from './typed-params.ts'
export { type LibvirtUri, parseLibvirtUri, type TransportKind } from './uri.ts'
export { XdrError } from './xdr.ts'

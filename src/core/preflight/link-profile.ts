/** What was tried from one host to another: nobody else can say whether they reach each other. */
import type { HostId } from '../ids.ts'

/**
 * What became of opening a TCP connection. `refused`: the host answered that nobody listens on that port now, or a firewall did so in its
 * place. `rejected`: the same, although somebody did listen, so it was a firewall.
 */
export type Reached = 'open' | 'refused' | 'rejected' | 'silent' | 'no-route' | 'no-name' | 'unknown'

export interface PortTried {
  readonly port: number
  readonly reached: Reached
}

export interface LinkProfile {
  readonly from: HostId
  readonly to: HostId
  /** Ports that memory goes to. */
  readonly migration: readonly PortTried[]
  /** The port of the target's daemon. */
  readonly daemon: PortTried | undefined
  /** What the source's own ssh or TLS says to the target. */
  readonly greeting: Greeting
}

export type Greeting =
  | { readonly by: 'none' }
  | { readonly by: 'ssh' | 'tls'; readonly answer: 'welcome' }
  | { readonly by: 'ssh' | 'tls'; readonly answer: 'refused'; readonly said: string }
  | { readonly by: 'ssh' | 'tls'; readonly answer: 'unknown'; readonly why: string }

/**
 * How bytes are sent from one host to another with what hosts have: who can listen, who can send, in which words. Nothing is installed
 * and no file is written; both ends end by themselves when whoever started them lets go of their standard input, and after a time.
 */

export const listeners = ['python3', 'socat', 'ncat', 'nc'] as const
export type Listener = (typeof listeners)[number]
export const senders = ['bash', 'python3', 'socat', 'ncat', 'nc'] as const
export type Sender = (typeof senders)[number]

export const needToListen = 'python3, socat, ncat or nc'
export const needToSend = 'bash, python3, socat, ncat or nc'

/** Prints the names that are there. A name that is a stub without a program behind it shows when it is used. */
export const toolsScript = `PATH=$PATH:/usr/sbin:/sbin; for t in bash python3 socat ncat nc; do command -v $t >/dev/null 2>&1 && echo $t; done; :`

/** $1 address, $2 port. Takes one connection and throws away what it brings. */
const listenWith: Readonly<Record<Listener, string>> = {
  python3: `python3 -c 'import socket,sys
a=sys.argv[1]; s=socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)
s.bind((a,int(sys.argv[2]))); s.listen(1); c=s.accept()[0]; b=bytearray(1<<18)
while c.recv_into(b): pass' "$1" "$2"`,
  socat: `case $1 in *:*) socat -u "TCP6-LISTEN:$2,bind=[$1],reuseaddr" OPEN:/dev/null;; *) socat -u "TCP4-LISTEN:$2,bind=$1,reuseaddr" OPEN:/dev/null;; esac`,
  ncat: `ncat -l "$1" "$2" </dev/null >/dev/null`,
  // OpenBSD's takes an address and a port; the traditional one and busybox's take -p.
  nc: `if nc -h 2>&1 | grep -q OpenBSD; then nc -l "$1" "$2" </dev/null >/dev/null; else nc -l -s "$1" -p "$2" </dev/null >/dev/null; fi`,
}

/** $1 address, $2 port, $3 bytes at most. Random bytes, since a path may compress. */
const sendWith: Readonly<Record<Sender, string>> = {
  bash: `bash -c 'exec 3<>"/dev/tcp/$0/$1" && exec head -c "$2" /dev/urandom >&3' "$1" "$2" "$3"`,
  python3: `python3 -c 'import os,socket,sys
s=socket.create_connection((sys.argv[1],int(sys.argv[2]))); left=int(sys.argv[3]); b=os.urandom(1<<20)
while left>0:
  n=min(left,len(b)); s.sendall(b[:n]); left-=n' "$1" "$2" "$3"`,
  socat: `case $1 in *:*) a="TCP6:[$1]:$2";; *) a="TCP4:$1:$2";; esac; head -c "$3" /dev/urandom | socat -u - "$a"`,
  ncat: `head -c "$3" /dev/urandom | ncat --send-only "$1" "$2"`,
  nc: `head -c "$3" /dev/urandom | nc "$1" "$2" >/dev/null`,
}

/**
 * Runs one of the above as a child. Prints nothing: whoever would read it may be gone, and a write to nobody ends a shell too soon. Ends it, with all it started, when standard input closes or after $4 seconds. The process group is
 * this shell's own where a session began with it (spawned detached, or by sshd): then it is ended as a whole.
 */
const guarded = (work: string): string => `PATH=$PATH:/usr/sbin:/sbin; LC_ALL=C; export PATH LC_ALL
exec 3<&0
( ${work}
) </dev/null 3<&- & p=$!
( read -r x <&3; kill -9 $p ) 2>/dev/null & w=$!
( sleep "$4"; kill -9 $p ) >/dev/null 2>&1 3<&- & g=$!
wait $p; c=$?
read -r a b d e q x </proc/$$/stat
if [ "$q" = "$$" ] || [ "$q" = "$PPID" ]; then trap '' TERM; kill -TERM 0; else kill $w $g 2>/dev/null; fi
exit $c`

export interface ProbeEnds {
  readonly address: string
  readonly port: number
  /** @unit s */
  readonly seconds: number
}

export const listenCommand = (tool: Listener, { address, port, seconds }: ProbeEnds): readonly string[] => [
  'sh',
  '-c',
  guarded(listenWith[tool]),
  'sh',
  address,
  String(port),
  '0',
  String(seconds),
]

export const sendCommand = (tool: Sender, { address, port, seconds }: ProbeEnds, bytes: number): readonly string[] => [
  'sh',
  '-c',
  guarded(sendWith[tool]),
  'sh',
  address,
  String(port),
  String(bytes),
  String(seconds),
]

/** The probe's own connection: its clock, then what ss says. The port is the first argument, the mark the last. */
export const watchPrelude = `LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; export PATH
q() { echo "$2:uptime"; { read -r u x </proc/uptime && echo "$u"; } 2>/dev/null; echo "$2:ss"; ss -tinH "( dport = :$1 )" 2>&1; echo "$2:code $?"; }
`

/**
 * Somebody who listens, for as long as ports are tried: a target whose ports are all closed looks the same as one whose firewall refuses
 * with a reset or "port unreachable". By perl or python, whichever is there; ends by itself when nobody ends it.
 */
import { HostUnreachable, CommandUnavailable, type Remote } from '../remote/remote.ts'

/** In the middle of the range: migrations take the first that is free, from below. */
export const listenerPort = 49_184
/** @unit s */
const endsItself = 120

const perl = `use IO::Socket::IP; my ($p,$t)=@ARGV;
my $s; for my $at ("::","0.0.0.0") { $s=IO::Socket::IP->new(LocalHost=>$at,LocalPort=>$p,Listen=>64,ReuseAddr=>1,V6Only=>0) and last }
exit 3 unless $s; my $pid=fork; if ($pid) { print "$pid\\n"; exit 0 }
open STDIN,"</dev/null"; open STDOUT,">/dev/null"; open STDERR,">/dev/null"; alarm $t; while (my $c=$s->accept) { close $c }`
const python = `import os,signal,socket,sys
p,t=int(sys.argv[1]),int(sys.argv[2])
try:
    s=socket.create_server(("",p),family=socket.AF_INET6,dualstack_ipv6=True) if socket.has_dualstack_ipv6() else socket.create_server(("",p))
except OSError:
    sys.exit(3)
pid=os.fork()
if pid:
    print(pid)
    sys.exit(0)
n=os.open(os.devnull,os.O_RDWR)
for f in (0,1,2): os.dup2(n,f)
signal.alarm(t)
while True: s.accept()[0].close()`

const script = `if command -v perl >/dev/null 2>&1; then perl -e "$1" "$3" "$4" && exit 0; [ $? = 3 ] && exit 3; fi
for python in python3 /usr/libexec/platform-python; do
  if command -v "$python" >/dev/null 2>&1; then exec "$python" -c "$2" "$3" "$4"; fi
done
exit 4`

export interface Listener {
  /** Ends it. Never throws but for the signal. */
  stop(signal: AbortSignal): Promise<void>
}

/** @returns undefined where nobody can listen: no program for it, the port is taken, no way to the host */
export async function openListener(remote: Remote, signal: AbortSignal): Promise<Listener | undefined> {
  const pid = await quietly(async () => {
    const argv = ['sh', '-c', script, 'sh', perl, python, String(listenerPort), String(endsItself)]
    const { code, stdout } = await remote.run(argv, {}, signal)
    return code === 0 && /^[1-9]\d*$/.test(stdout.trim()) ? stdout.trim() : undefined
  })
  if (pid === undefined) return undefined
  return {
    stop: async inner => {
      await quietly(async () => {
        await remote.run(['kill', pid], {}, inner)
        return undefined
      })
    },
  }
}

async function quietly<T>(work: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof HostUnreachable || error instanceof CommandUnavailable) return undefined
    throw error
  }
}

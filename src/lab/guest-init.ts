/**
 * The first and only program of a lab guest: a busybox shell script. It prints a tick each second on the serial console, fills memory
 * with random bytes, and then dirties a hot set and a cold rate as the kernel command line says.
 *
 *     lb.fill=MiB  lb.hot=KiB  lb.period=ms  lb.cold=KiB/s  lb.disk=1
 *
 * Ticks are numbered, so that a reader can tell a guest that went on from one that was restarted, stopped, or ran twice.
 */
export const tickPattern = /^LB tick (\d+) ([\d.]+)\r?$/

export const guestInit = `#!/bin/busybox sh
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /fill
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -F /dev/ttyS0 raw -echo 2>/dev/null
for word in $(cat /proc/cmdline); do
  case $word in lb.*=*) eval "\${word#lb.}";; esac
done
: "\${fill:=0}" "\${hot:=0}" "\${period:=1000}" "\${cold:=0}" "\${disk:=0}"

# A fifo that nobody writes to: waiting on it with a timeout costs no process, a "sleep" each second would.
mkfifo /idle
exec 9<>/idle
tick() {
  n=0
  while :; do
    n=$((n+1))
    read up _ </proc/uptime
    echo "LB tick $n $up"
    read -t 1 _ <&9
  done
}
tick &

if [ "$disk" = 1 ]; then
  for m in /modules/*.ko; do insmod "$m" || echo "LB error insmod $m"; done
  [ -b /dev/vda ] || { read -t 1 _ <&9; }
  [ -b /dev/vda ] && echo "LB disk $(cat /sys/block/vda/size 2>/dev/null)" || echo "LB error no disk"
fi

mount -t tmpfs -o size=95% none /fill || echo "LB error tmpfs"
if [ "$fill" -gt 0 ]; then
  dd if=/dev/urandom of=/fill/data bs=1M count="$fill" 2>/dev/null || echo "LB error fill"
fi
echo "LB ready $fill MiB"

# Copying from a moving place in the random fill changes every page, at the price of a copy. The hot set is rewritten each period;
# the cold part is written once a second, further along each time.
pages=$((fill*256))
at=0
hotpages=$((hot/4))
coldpages=$((cold/4))
place=0
if [ "$hotpages" -gt 0 ] && [ "$pages" -gt $((hotpages+1)) ]; then
  seconds=$((period/1000)).$(printf %03d $((period%1000)))
  ( while :; do
      at=$(((at+1)%(pages-hotpages)))
      dd if=/fill/data of=/fill/hot bs=4k skip=$at count=$hotpages conv=notrunc 2>/dev/null || echo "LB error hot"
      read -t "$seconds" _ <&9
    done ) &
fi
if [ "$coldpages" -gt 0 ] && [ "$pages" -gt $((2*coldpages)) ]; then
  ( while :; do
      place=$(((place+coldpages)%(pages-coldpages)))
      dd if=/fill/data of=/fill/data bs=4k skip=$(((place+pages/2)%(pages-coldpages))) seek=$place count=$coldpages conv=notrunc 2>/dev/null || echo "LB error cold"
      read -t 1 _ <&9
    done ) &
fi
wait
`

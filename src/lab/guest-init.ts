/**
 * The first and only program of a lab guest: a busybox shell script. It prints a tick each second on the serial console, fills memory
 * with random bytes, and then dirties a hot set and a cold rate as the kernel command line says.
 *
 *     lb.fill=MiB  lb.hot=KiB  lb.period=ms  lb.cold=KiB/s
 *     lb.disks=vda/FILL/READ/WRITE,…  filled with so many MiB; hashed so far, in MiB; written behind that, in KiB/s
 *     lb.check=s  between two readings of the disks; 0 is never again
 *
 * Ticks are numbered, so that a reader can tell a guest that went on from one that was restarted, stopped, or ran twice.
 */
export const tickPattern = /^LB tick (\d+) ([\d.]+)\r?$/
/** What a disk's unchanging part was read as just now, past the guest's cache. */
export const diskPattern = /^LB disk (vd[a-z]) ([0-9a-f]{64})\r?$/
/** So many blocks of a disk were written and read back as they had been written. */
export const writtenPattern = /^LB written (vd[a-z]) (\d+)\r?$/
export const errorPattern = /^LB error (.*?)\r?$/

export const guestInit = `#!/bin/busybox sh
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /fill
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -F /dev/ttyS0 raw -echo 2>/dev/null
for word in $(cat /proc/cmdline); do
  case $word in lb.*=*) eval "\${word#lb.}";; esac
done
: "\${fill:=0}" "\${hot:=0}" "\${period:=1000}" "\${cold:=0}" "\${disks:=0}" "\${check:=0}"

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

# Past the guest's cache, so that it is the disk that is read.
look() { dd if=/dev/$1 bs=1M count=$2 iflag=direct 2>/dev/null | sha256sum; }
say() { sum=$(look $1 $2); echo "LB disk $1 \${sum%% *}"; }
# The block written longest ago is read back each second, then overwritten. Sums are kept in variables s0, s1, …
write() {
  first=$((($2*1024+$3-1)/$3)); blocks=$(($(cat /sys/block/$1/size)/2/$3-first)); n=0; verified=0
  while :; do
    block=$((n%blocks)); at=$((first+block))
    if [ $n -ge $((blocks-1)) ]; then
      sum=$(dd if=/dev/$1 bs=\${3}k skip=$at count=1 iflag=direct 2>/dev/null | md5sum)
      eval 'was=$s'$block
      [ "$sum" = "$was" ] && verified=$((verified+1)) || [ -z "$was" ] || echo "LB error $1 block $at is not what was written"
      echo "LB written $1 $verified"
    fi
    dd if=/dev/urandom of=/block.$1 bs=\${3}k count=1 2>/dev/null
    sum=$(md5sum </block.$1)
    eval "s$block='$sum'"
    dd if=/block.$1 of=/dev/$1 bs=\${3}k seek=$at count=1 oflag=direct conv=notrunc 2>/dev/null || echo "LB error $1 cannot be written"
    n=$((n+1))
    read -t 1 _ <&9
  done
}
if [ "$disks" != 0 ]; then
  for m in /modules/*.ko; do insmod "$m" || echo "LB error insmod $m"; done
  disks=$(echo "$disks" | tr , ' ')
  for d in $disks; do
    set -- $(echo "$d" | tr / ' ')
    for try in 1 2 3; do [ -b /dev/$1 ] || read -t 1 _ <&9; done
    [ -b /dev/$1 ] || echo "LB error no disk $1"
    [ "$2" = 0 ] || dd if=/dev/urandom of=/dev/$1 bs=1M count=$2 oflag=direct conv=notrunc 2>/dev/null || echo "LB error $1 cannot be filled"
    say $1 $3
    [ "$4" = 0 ] || write $1 $3 $4 &
  done
  if [ "$check" -gt 0 ]; then
    ( while :; do
        read -t "$check" _ <&9
        for d in $disks; do set -- $(echo "$d" | tr / ' '); say $1 $3; done
      done ) &
  fi
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

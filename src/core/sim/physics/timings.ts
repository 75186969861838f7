/**
 * How long the things take that are no transfer: measured in the lab (QEMU 7.2, software emulation, two cores; docs/lab.md), or read
 * where it says so. All in milliseconds.
 */

/** A target process is started and listens. */
export const prepareTakes = 350
/** From the order to migrate until QEMU connects. */
export const migrateTakes = 40
/** Handshakes before memory flows: TCP, the migration header, the return path. Counted in round trips. */
export const setupRoundTrips = 3
/** What a full drop-tail queue adds to the round trip: an assumption, for queues of routers hold from tens to hundreds of milliseconds. */
export const queueWhenFull = 40
/** One question to a hypervisor's monitor and its answer. */
export const askTakes = 10
/** Run the target, and see it run. */
export const finishTakes = 60
/** End a process, see it gone, leave the tombstone. */
export const retireTakes = 250
/** Take a target down, see it gone, see the source run. */
export const rollBackTakes = 300
/** Device state, and the last acknowledgement: two round trips beside what is sent. */
export const switchoverTakes = 20
export const switchoverRoundTrips = 2
/** A pass over memory that is nearly clean still walks the bitmap. */
export const leastRound = 10
/** A host that does not answer is waited for so long (engine/patience.ts, `answersWithin`). */
export const unansweredAfter = 15_000
/** A controller asks the power room this often whether a site still has any. */
export const powerLossSeenAfter = 1_000

/** Linux gives an established connection up after 15 retransmissions (ip-sysctl, tcp_retries2: 924.6 s at the least RTO). */
export const tcpGivesUpAfter = 924_600
/** And a new one after 6 (tcp_syn_retries: 127 s). */
export const connectGivesUpAfter = 127_000
/** Retransmissions double their distance (RFC 6298), so after an outage the next try comes at most this share of the outage later. */
export const backoffShare = 0.5
/** Linux, TCP_RTO_MAX. */
export const backoffMost = 120_000

/** Bytes a second one migration thread can put on the wire: QEMU's single stream tops out near 10 Gbit/s on one CPU. @unit bytes per second */
export const streamMost = 1.25e9
/** What one thread squeezes: measured for zstd at level 1, some three times slower for zlib, an assumption. @unit bytes of memory per second */
export const squeezeMost = { none: Number.POSITIVE_INFINITY, xbzrle: streamMost, zlib: 1e8, zstd: 3e8 } as const
/** Where less than this share of a host's processors is idle, a thread gets less than one: an assumption. */
export const crowdedFrom = 0.1
/** On a host whose processors have nothing left a thread still has this share of one: an assumption. */
export const leastOfThread = 0.05
/**
 * Wire bytes per byte of memory: zstd level 1 moved the lab's guests in 0.63 of the time, zlib level 1 is slower and a little worse. xbzrle
 * saves nothing of a page's first sending, nor of one that is rewritten with random bytes, as the lab's guests do.
 */
export const wireShare = { none: 1, xbzrle: 1, zlib: 0.65, zstd: 0.63 } as const
/** Other people's traffic on a path is many flows; together they hold against ours like this number of TCP streams. */
export const backgroundStreams = 8

/** Auto-converge (QEMU, migration/options.c: `throttle-trigger-threshold`, `cpu-throttle-initial`, `-increment`, `max-cpu-throttle`). */
export const throttleTrigger = 0.5
export const throttleFirst = 0.2
export const throttleStep = 0.1
export const throttleMost = 0.99
/** migration/ram.c, `dirty_rate_high_cnt`. */
export const timesToThrottle = 2
/** migration/ram.c, `migration_bitmap_sync`: rates are told, and a guest is judged, no more often than this. */
export const judgedEvery = 1_000

/**
 * What each multifd channel, and squeezing goes over one, has in its socket at the end (lab, 8 channels over 100 Mbit/s: 1.2 to 3.5 s of downtime beyond the limit, so
 * some 25 MB in all; the plain stream has no more than its limit). @unit bytes
 */
export const channelBuffer = 3_000_000

/** Bounds on lists and strings, as src/remote/remote_protocol.x states them. */

/** REMOTE_STRING_MAX. @unit bytes */
export const stringMost = 4_194_304
/** REMOTE_DOMAIN_LIST_MAX, and of networks, storage pools, interfaces, filters, secrets, snapshots, checkpoints. */
export const listMost = 16_384
/** REMOTE_DOMAIN_MIGRATE_PARAM_LIST_MAX. */
export const migrateParamsMost = 64
/** REMOTE_DOMAIN_JOB_STATS_MAX. */
export const jobStatsMost = 64
/** REMOTE_CONNECT_GET_ALL_DOMAIN_STATS_MAX. */
export const domainStatsMost = 262_144
/** REMOTE_MIGRATE_COOKIE_MAX. @unit bytes */
export const cookieMost = 4_194_304
/** REMOTE_NODE_MAX_CELLS. */
export const cellsMost = 1_024
/** REMOTE_AUTH_TYPE_LIST_MAX. */
export const authTypesMost = 20

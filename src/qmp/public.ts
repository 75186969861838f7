/** `lifeboat/qmp`: the QMP client, usable on its own. */
export { type QmpAddress, showAddress } from './address.ts'
export { QmpClient, type QmpOptions, type QmpStats, type Runstate } from './client.ts'
export {
  QmpCapabilityError,
  QmpCommandError,
  QmpConnectError,
  QmpError,
  QmpInterrupted,
  QmpParseError,
  QmpProtocolError,
  QmpStateError,
  QmpTooManyPending,
} from './errors.ts'
export type { QmpEvent, QmpEvents } from './event.ts'
export { type QmpVersion } from './replies/greeting.ts'
export { ignoreReply } from './replies/ignore-reply.ts'
export { type BlockDrive, type BlockImage, parseQueryBlock } from './replies/query-block.ts'
export { parseQueryCommands } from './replies/query-commands.ts'
export { parseQueryDirtyRate, type QueryDirtyRate } from './replies/query-dirty-rate.ts'
export { parseQueryJobs, type QmpJob } from './replies/query-jobs.ts'
export { parseMemorySize } from './replies/query-memory-size.ts'
export { parseQueryMigrate, type QueryMigrate, type RamStats } from './replies/query-migrate.ts'
export { parseQueryStatus, type QueryStatus } from './replies/query-status.ts'

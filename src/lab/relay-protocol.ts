/** What the relay process is told, and answers: one JSON object a line on its unix socket. */
import { z } from 'zod'

export const pipeSettingsSchema = z.object({
  rate: z.number().nonnegative(),
  delay: z.number().nonnegative(),
  loss: z.number().min(0).max(1),
  cut: z.boolean(),
})

/** Sites are numbered from 1, as their addresses are. */
export const relayStartSchema = z.object({
  socket: z.string(),
  seed: z.number().int(),
  pipes: z.array(z.object({ from: z.number().int(), to: z.number().int(), settings: pipeSettingsSchema })),
})
export type RelayStart = z.infer<typeof relayStartSchema>

export const relayRequestSchema = z.discriminatedUnion('do', [
  z.object({
    do: z.literal('set'),
    from: z.number().int(),
    to: z.number().int(),
    settings: pipeSettingsSchema.partial(),
  }),
  z.object({ do: z.literal('stats') }),
])
export type RelayRequest = z.infer<typeof relayRequestSchema>

export const pipeStatsSchema = z.object({
  from: z.number(),
  to: z.number(),
  settings: pipeSettingsSchema,
  /** Since the lab came up. @unit bytes */
  carriedBytes: z.number(),
  carriedPackets: z.number(),
  droppedPackets: z.number(),
  queuedBytes: z.number(),
})
export type PipeStats = z.infer<typeof pipeStatsSchema>

export const relayAnswerSchema = z.object({
  ok: z.boolean(),
  message: z.string().default(''),
  pipes: z.array(pipeStatsSchema).default([]),
})
export type RelayAnswer = z.infer<typeof relayAnswerSchema>

/** `query-commands`: the names of all commands this QEMU knows (qapi/control.json). */
import { z } from 'zod'

const schema = z.array(z.object({ name: z.string() }))
export const parseQueryCommands = (raw: unknown): readonly string[] => schema.parse(raw).map(({ name }) => name)

/**
 * The port `Journal`: append-only, durable before visible. One evacuation, one journal; one writer, any number of readers.
 * State is a fold over its rows (replay.ts), so a controller that was killed at any point goes on from here.
 */
import type { Command } from '../core/control/command.ts'
import type { Observed, ObservedKind } from '../core/control/observed.ts'
import type { Instant } from '../core/instant.ts'

/** An observation and what was decided on it: journaled together, before any of the commands is carried out. */
export interface Entry {
  readonly at: Instant
  readonly event: Observed
  readonly commands: readonly Command[]
}
export interface Row extends Entry {
  /** From 1, without gaps. */
  readonly seq: number
}

export interface JournalReader {
  /** Rows after `seq`, in order. @throws JournalUnreadable */
  read(afterSeq: number): readonly Row[]
  /** The last rows of that kind, at most so many, in order. @throws JournalUnreadable */
  newest(kind: ObservedKind, atMost: number): readonly Row[]
  close(): void
}

export interface Journal extends JournalReader {
  /** All of them or none, on disk when it returns. @throws JournalFull when there is no room, JournalBroken otherwise */
  append(entries: readonly Entry[]): void
  /** Frees what was set aside for this moment, so that what runs can still be recorded. @returns false when it was used up before */
  useReserve(): boolean
}

/** No room for the journal. Nothing of the batch was written. */
export class JournalFull extends Error {
  override readonly name = 'JournalFull'
}
/** The journal cannot be written for another reason. */
export class JournalBroken extends Error {
  override readonly name = 'JournalBroken'
}
/** What is in the file is no journal, or one of a newer Lifeboat. */
export class JournalUnreadable extends Error {
  override readonly name = 'JournalUnreadable'
}

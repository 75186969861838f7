/** The QMP client against a monitor that behaves, and one that does everything a monitor should not. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { QmpClient, type QmpOptions, type Runstate } from './client.ts'
import {
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
import type { QmpEvent } from './event.ts'
import { ignoreReply } from './replies/ignore-reply.ts'
import { parseQueryStatus } from './replies/query-status.ts'
import { type Asked, type Caller, eventFrame, frame, greeting, startMonitor } from './scripted-monitor.ts'

/** No wait of these tests is longer. */
const soon = (): AbortSignal => AbortSignal.timeout(3_000)
const MiB = 1_048_576
const running = { status: 'running', running: true }
const text = (raw: unknown): string => String(raw)

/** Whatever a promise was rejected with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'was not rejected' })
}

/** Greets, and answers every command with its own name. */
async function echo(caller: Caller): Promise<void> {
  await caller.welcome()
  for (;;) {
    const asked = await caller.next()
    caller.answer(asked, asked.command)
  }
}

/** Greets, then reads on and is silent. */
async function silent(caller: Caller): Promise<void> {
  await caller.welcome()
  await caller.gone
}

/** A monitor and a client of it; both are gone when `tell` is over. */
async function between(
  script: (caller: Caller) => Promise<void>,
  options: QmpOptions,
  tell: (client: QmpClient, asked: readonly Asked[]) => Promise<void>,
): Promise<void> {
  await using monitor = await startMonitor('unix', script, soon())
  await using client = await QmpClient.connect(monitor.address, options, soon())
  await tell(client, monitor.asked)
}

describe('connecting', () => {
  for (const over of ['unix', 'tcp'] as const) {
    test(`over ${over}: a monitor greets, a command is answered, the end is seen by both`, async () => {
      const limit = soon()
      let gone: Promise<void> | undefined
      await using monitor = await startMonitor(
        over,
        async caller => {
          gone = caller.gone
          await caller.welcome()
          caller.answer(await caller.next(), running)
          await caller.gone
        },
        limit,
      )
      const client = await QmpClient.connect(monitor.address, {}, soon())
      assert.deepEqual(client.version, { major: 7, minor: 2, micro: 22, package: 'Debian 1:7.2+dfsg-7' })
      assert.deepEqual(client.capabilities, ['oob'])
      assert.deepEqual(client.enabled, [])
      assert.deepEqual(await client.execute('query-status', { a: 1 }, parseQueryStatus, soon()), running)
      await client.close()
      assert.equal((await client.ended).message, 'closed by this side')
      assert.deepEqual(
        monitor.asked.map(({ command, args, outOfBand }) => [command, args, outOfBand]),
        [
          ['qmp_capabilities', {}, false],
          ['query-status', { a: 1 }, false],
        ],
      )
      await gone
      assert.ok(!limit.aborted, 'the client did not close the connection')
    })
  }

  test('a stream that is open already will do', async () => {
    await using monitor = await startMonitor('unix', echo, soon())
    assert.equal(monitor.address.kind, 'unix')
    const socket = connect({ path: monitor.address.kind === 'unix' ? monitor.address.path : '' })
    await once(socket, 'connect', { signal: soon() })
    await using client = await QmpClient.connect(socket, {}, soon())
    assert.equal(await client.execute('stop', {}, text, soon()), 'stop')
  })

  test('a socket that is not there is a QmpConnectError that names it', async () => {
    const path = join(tmpdir(), 'lifeboat-no-such-folder', 'qmp.sock')
    const error = await rejection(QmpClient.connect({ kind: 'unix', path }, {}, soon()))
    assert.ok(error instanceof QmpConnectError)
    assert.equal(error.message, `${path}: no such socket; is the VM running?`)
  })

  test('a port where nobody listens is a QmpConnectError that names it', async () => {
    const monitor = await startMonitor('tcp', echo, soon())
    const { address } = monitor
    await monitor[Symbol.asyncDispose]()
    const error = await rejection(QmpClient.connect(address, {}, soon()))
    assert.ok(error instanceof QmpConnectError)
    assert.match(error.message, /^127\.0\.0\.1:\d+: nobody listens there/)
  })

  test('a monitor that does not greet is given up, and the reason tells of another client', async () => {
    const limit = soon()
    let gone: Promise<void> | undefined
    await using monitor = await startMonitor('unix', caller => (gone = caller.gone), limit)
    const signal = AbortSignal.timeout(50)
    const error = await rejection(QmpClient.connect(monitor.address, {}, signal))
    assert.ok(error instanceof QmpConnectError)
    assert.match(error.message, /no greeting: a monitor serves one client at a time/)
    assert.equal(error.cause, signal.reason)
    await gone
    assert.ok(!limit.aborted, 'the client did not close the connection')
  })

  test('a monitor that leaves before it greets is a QmpConnectError', async () => {
    await using monitor = await startMonitor('unix', async caller => caller.leave(), soon())
    const error = await rejection(QmpClient.connect(monitor.address, {}, soon()))
    assert.ok(error instanceof QmpConnectError)
    assert.match(error.message, /ended before the greeting: the other side closed the connection/)
  })

  test('a monitor that leaves between greeting and capabilities is a QmpError, at once', async () => {
    await using monitor = await startMonitor(
      'unix',
      async caller => {
        caller.say(greeting())
        await caller.next()
        caller.leave()
      },
      soon(),
    )
    const error = await rejection(QmpClient.connect(monitor.address, {}, soon()))
    assert.ok(error instanceof QmpError)
    assert.match(error.message, /the other side closed the connection/)
  })

  test('a signal that was aborted before opens no connection', async () => {
    let clients = 0
    await using monitor = await startMonitor('unix', async () => void (clients += 1), soon())
    const reason = new Error('not any more')
    assert.equal(await rejection(QmpClient.connect(monitor.address, {}, AbortSignal.abort(reason))), reason)
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(clients, 0)
  })

  const noGreetings: readonly (readonly [what: string, says: string, error: RegExp])[] = [
    ['a web server', 'HTTP/1.1 400 Bad Request\r\n\r\n', /not JSON: HTTP\/1\.1 400/],
    ['a reply', '{"return": {}}\n', /expected a greeting, got reply/],
    ['an event', frame(eventFrame('STOP')), /expected a greeting, got event/],
    ['an error', '{"error": {"class": "GenericError", "desc": "no"}}\n', /expected a greeting, got error/],
    ['an array', '[1]\n', /not an object: \[1\]/],
    ['a greeting without a version', '{"QMP": {"capabilities": []}}\n', /version/],
  ]
  for (const [what, says, message] of noGreetings) {
    test(`${what} in place of the greeting is a QmpProtocolError`, async () => {
      await using monitor = await startMonitor(
        'unix',
        async caller => {
          caller.raw(says)
          await caller.gone
        },
        soon(),
      )
      const error = await rejection(QmpClient.connect(monitor.address, {}, soon()))
      assert.ok(error instanceof QmpProtocolError, String(error))
      assert.match(error.message, message)
    })
  }

  test('garbage in the packet of the greeting is a QmpProtocolError, at once', async () => {
    await using monitor = await startMonitor(
      'unix',
      async caller => {
        caller.raw(`${frame(greeting())}garbage\n`)
        await caller.gone
      },
      soon(),
    )
    const error = await rejection(QmpClient.connect(monitor.address, {}, AbortSignal.timeout(500)))
    assert.ok(error instanceof QmpProtocolError, String(error))
    assert.match(error.message, /not JSON: garbage/)
  })

  test('garbage in the packet that grants the capabilities is a QmpProtocolError, at once', async () => {
    await using monitor = await startMonitor(
      'unix',
      async caller => {
        caller.say(greeting())
        const { id } = await caller.next()
        caller.raw(`${frame({ return: {}, id })}garbage\n`)
        await caller.gone
      },
      soon(),
    )
    const options: QmpOptions = { requireCommands: ['migrate'] }
    const error = await rejection(QmpClient.connect(monitor.address, options, AbortSignal.timeout(500)))
    assert.ok(error instanceof QmpProtocolError, String(error))
  })
})

describe('capabilities', () => {
  test('one that is required and not offered ends the connection, and is named', async () => {
    await using monitor = await startMonitor('unix', async caller => void (await caller.welcome([])), soon())
    const options: QmpOptions = { capabilities: ['oob', 'warp'] }
    const error = await rejection(QmpClient.connect(monitor.address, options, soon()))
    assert.ok(error instanceof QmpCapabilityError)
    assert.deepEqual(error.missing, ['oob', 'warp'])
    assert.equal(error.message, 'this QEMU lacks the capabilities: oob, warp')
    assert.deepEqual(monitor.asked, [])
  })

  test('what is required and what is optional and offered is enabled, each once', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome(['oob', 'trace'])
      await caller.gone
    }
    const options: QmpOptions = { capabilities: ['oob'], optionalCapabilities: ['trace', 'oob', 'warp'] }
    await between(script, options, async (client, asked) => {
      assert.deepEqual(client.enabled, ['oob', 'trace'])
      assert.deepEqual(asked[0]?.args, { enable: ['oob', 'trace'] })
    })
  })

  test('an optional one that is not offered is left out', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome([])
      await caller.gone
    }
    await between(script, { optionalCapabilities: ['oob'] }, async (client, asked) => {
      assert.deepEqual(client.enabled, [])
      assert.deepEqual(asked[0]?.args, {})
    })
  })

  test('a monitor that refuses them is a QmpCommandError', async () => {
    await using monitor = await startMonitor(
      'unix',
      async caller => {
        caller.say(greeting())
        const { id } = await caller.next()
        caller.say({ error: { class: 'GenericError', desc: 'capability is broken' }, id })
        await caller.gone
      },
      soon(),
    )
    const error = await rejection(QmpClient.connect(monitor.address, {}, soon()))
    assert.ok(error instanceof QmpCommandError)
    assert.equal(error.message, 'qmp_capabilities: capability is broken')
  })

  const knows = (names: readonly string[]) => async (caller: Caller) => {
    await caller.welcome()
    const asked = await caller.next()
    caller.answer(
      asked,
      names.map(name => ({ name })),
    )
    await caller.gone
  }

  test('commands that are required and not known end the connection, and are named', async () => {
    await using monitor = await startMonitor('unix', knows(['migrate', 'quit']), soon())
    const options: QmpOptions = { requireCommands: ['migrate', 'migrate-recover'] }
    const error = await rejection(QmpClient.connect(monitor.address, options, soon()))
    assert.ok(error instanceof QmpCapabilityError)
    assert.deepEqual(error.missing, ['migrate-recover'])
    assert.equal(error.message, 'this QEMU lacks the commands: migrate-recover')
  })

  test('commands that are required are looked up once, and known ones will do', async () => {
    await between(knows(['migrate', 'quit']), { requireCommands: ['quit', 'migrate'] }, async ({ runstate }, asked) => {
      assert.equal(runstate, 'running')
      assert.deepEqual(
        asked.map(({ command }) => command),
        ['qmp_capabilities', 'query-commands'],
      )
    })
  })
})

describe('commands', () => {
  test('replies that come out of order each find their command', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const three = [await caller.next(), await caller.next(), await caller.next()]
      for (const asked of three.reverse()) caller.answer(asked, `to ${asked.command}`)
      await caller.gone
    }
    await between(script, {}, async client => {
      const answers = ['one', 'two', 'three'].map(name => client.execute(name, {}, text, soon()))
      assert.deepEqual(await Promise.all(answers), ['to one', 'to two', 'to three'])
    })
  })

  test('two frames in one packet are two replies', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const [first, second] = [await caller.next(), await caller.next()]
      caller.say({ return: 1, id: first.id }, { return: 2, id: second.id })
      await caller.gone
    }
    await between(script, {}, async client => {
      const answers = [client.execute('a', {}, Number, soon()), client.execute('b', {}, Number, soon())]
      assert.deepEqual(await Promise.all(answers), [1, 2])
    })
  })

  test('a conversation in single bytes is the same conversation, umlauts and all', async () => {
    const script = async (caller: Caller): Promise<void> => {
      const drip = (value: object): Promise<void> =>
        caller.packets(Array.from(Buffer.from(frame(value)), byte => Buffer.of(byte)))
      await drip(greeting())
      await drip({ return: {}, id: (await caller.next()).id })
      await drip({ return: 'Schlüssel 鍵 🔑', id: (await caller.next()).id })
      await caller.gone
    }
    await between(script, {}, async client => {
      assert.equal(await client.execute('query-key', {}, text, soon()), 'Schlüssel 鍵 🔑')
    })
  })

  test('a character cut between two packets is whole again', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const bytes = Buffer.from(frame({ return: 'a🔑b', id: (await caller.next()).id }))
      const cut = bytes.indexOf(Buffer.from('🔑')) + 2
      await caller.packets([bytes.subarray(0, cut), bytes.subarray(cut)])
      await caller.gone
    }
    await between(script, {}, async client => {
      assert.equal(await client.execute('query-key', {}, text, soon()), 'a🔑b')
    })
  })

  test('an error is a QmpCommandError with the command, the class and the words of QEMU', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const { id } = await caller.next()
      caller.say({ error: { class: 'CommandNotFound', desc: 'The command fly has not been found' }, id })
      await caller.gone
    }
    await between(script, {}, async client => {
      const error = await rejection(client.execute('fly', {}, ignoreReply, soon()))
      assert.ok(error instanceof QmpCommandError)
      const { command, errorClass, desc, message } = error
      assert.deepEqual([command, errorClass], ['fly', 'CommandNotFound'])
      assert.equal(desc, 'The command fly has not been found')
      assert.equal(message, 'fly: The command fly has not been found')
      assert.equal(client.runstate, 'running')
    })
  })

  test('a reply that is not understood is a QmpParseError with its cause, and the connection goes on', async () => {
    await between(echo, {}, async client => {
      const error = await rejection(client.execute('query-status', {}, parseQueryStatus, soon()))
      assert.ok(error instanceof QmpParseError)
      assert.equal(error.command, 'query-status')
      assert.match(error.message, /^query-status: the reply is not understood: /)
      assert.ok(error.cause instanceof Error)
      assert.equal(await client.execute('stop', {}, text, soon()), 'stop')
    })
  })

  test('a command that is given up rejects with the reason; its late reply is counted and routed nowhere', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const [late, later, next] = [await caller.next(), await caller.next(), await caller.next()]
      caller.answer(late, 'late')
      caller.say({ error: { class: 'GenericError', desc: 'later' }, id: later.id })
      caller.answer(next, 'in time')
      await caller.gone
    }
    await between(script, {}, async client => {
      const enough = new AbortController()
      const reason = new Error('enough')
      const hung = [rejection(client.execute('a', {}, text, enough.signal))]
      hung.push(rejection(client.execute('b', {}, text, enough.signal)))
      enough.abort(reason)
      assert.deepEqual(await Promise.all(hung), [reason, reason])
      assert.equal(await client.execute('c', {}, text, soon()), 'in time')
      assert.deepEqual(client.stats, { lateReplies: 2, unknownReplies: 0, droppedEvents: 0 })
    })
  })

  test('a command is one line', async () => {
    let sent = ''
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const asked = await caller.next()
      caller.answer(asked)
      sent = caller.sent
      await caller.gone
    }
    await between(script, {}, async client => {
      await client.execute('stop', { why: 'two\nlines' }, ignoreReply, soon())
      assert.match(sent, /^\{"execute":"stop".*\}\n$/m)
      assert.equal(sent.match(/\n/g)?.length, 2, 'one for the capabilities, one for the command')
    })
  })

  test('a signal that was aborted before sends nothing', async () => {
    await between(echo, {}, async (client, asked) => {
      const reason = new Error('too late')
      assert.equal(await rejection(client.execute('quit', {}, text, AbortSignal.abort(reason))), reason)
      assert.equal(await client.execute('stop', {}, text, soon()), 'stop')
      assert.deepEqual(
        asked.map(({ command }) => command),
        ['qmp_capabilities', 'stop'],
      )
    })
  })

  const strangers: readonly (readonly [what: string, frames: readonly object[]])[] = [
    ['a reply with an unknown id', [{ return: 'x', id: 4711 }]],
    ['a reply without an id', [{ return: 'x' }]],
    ['a reply whose id is a text', [{ return: 'x', id: '2' }]],
    ['an error with an unknown id', [{ error: { class: 'GenericError', desc: 'x' }, id: 4711 }]],
  ]
  for (const [what, frames] of strangers) {
    test(`${what} is counted and ignored`, async () => {
      const script = async (caller: Caller): Promise<void> => {
        await caller.welcome()
        const asked = await caller.next()
        caller.say(...frames, { return: 'mine', id: asked.id })
        await caller.gone
      }
      await between(script, {}, async client => {
        assert.equal(await client.execute('a', {}, text, soon()), 'mine')
        assert.deepEqual(client.stats, { lateReplies: 0, unknownReplies: 1, droppedEvents: 0 })
      })
    })
  }

  test('a second reply to the same command is counted and ignored', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const { id } = await caller.next()
      caller.say({ return: 'first', id }, { return: 'second', id })
      caller.answer(await caller.next(), 'next')
      await caller.gone
    }
    await between(script, {}, async client => {
      assert.equal(await client.execute('a', {}, text, soon()), 'first')
      assert.equal(await client.execute('b', {}, text, soon()), 'next')
      assert.equal(client.stats.unknownReplies, 1)
    })
  })

  test('all that is unanswered at one time has ids of its own, and the id of what was given up is not used again', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const late = await caller.next()
      for (let n = 0; n < 40; n += 1) caller.answer(await caller.next())
      const many: Asked[] = []
      while (many.length < 40) many.push(await caller.next())
      caller.answer(late)
      for (const asked of many) caller.answer(asked, asked.command)
      await caller.gone
    }
    await between(script, {}, async (client, asked) => {
      const enough = new AbortController()
      const late = rejection(client.execute('late', {}, text, enough.signal))
      enough.abort()
      await late
      for (let n = 0; n < 40; n += 1) await client.execute(`alone-${n}`, {}, ignoreReply, soon())
      const names = Array.from({ length: 40 }, (_, n) => `together-${n}`)
      const replies = await Promise.all(names.map(name => client.execute(name, {}, text, soon())))
      assert.deepEqual(replies, names)
      const [lateId, ...ids] = asked.slice(1).map(({ id }) => id)
      assert.ok(!ids.includes(lateId))
      assert.equal(new Set(ids.slice(-40)).size, 40)
      assert.deepEqual(client.stats, { lateReplies: 1, unknownReplies: 0, droppedEvents: 0 })
    })
  })

  test('one more than may be pending is refused and not sent; room comes back with a reply', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const [first, second] = [await caller.next(), await caller.next()]
      caller.answer(first, 1)
      caller.answer(await caller.next(), 3)
      caller.answer(second, 2)
      await caller.gone
    }
    await between(script, { maxPending: 2 }, async (client, asked) => {
      const first = client.execute('first', {}, Number, soon())
      const second = client.execute('second', {}, Number, soon())
      const error = await rejection(client.execute('third', {}, Number, soon()))
      assert.ok(error instanceof QmpTooManyPending)
      assert.equal(error.message, 'third: 2 commands are unanswered already; nothing was sent')
      assert.equal(await first, 1)
      assert.equal(await client.execute('fourth', {}, Number, soon()), 3)
      assert.equal(await second, 2)
      assert.deepEqual(
        asked.slice(1).map(({ command }) => command),
        ['first', 'second', 'fourth'],
      )
    })
  })

  test('a command that was given up is unanswered still and counts, or a silent monitor would be asked without bound', async () => {
    await between(silent, { maxPending: 2 }, async client => {
      const enough = new AbortController()
      const hung = ['a', 'b'].map(name => rejection(client.execute(name, {}, text, enough.signal)))
      enough.abort()
      await Promise.all(hung)
      const error = await rejection(client.execute('c', {}, text, AbortSignal.timeout(100)))
      assert.ok(error instanceof QmpTooManyPending, String(error))
    })
  })
})

describe('out of band', () => {
  test('a command goes past the others as exec-oob', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const [slow, fast] = [await caller.next(), await caller.next()]
      caller.answer(fast, 'fast')
      caller.answer(slow, 'slow')
      await caller.gone
    }
    await between(script, { capabilities: ['oob'] }, async (client, asked) => {
      const slow = client.execute('query-status', {}, text, soon())
      assert.equal(await client.executeOutOfBand('migrate-pause', { x: 1 }, text, soon()), 'fast')
      assert.equal(await slow, 'slow')
      assert.deepEqual(
        asked.slice(1).map(({ command, args, outOfBand }) => [command, args, outOfBand]),
        [
          ['query-status', {}, false],
          ['migrate-pause', { x: 1 }, true],
        ],
      )
    })
  })

  test('it is refused where the capability is offered and was not enabled', async () => {
    await between(echo, {}, async (client, asked) => {
      const error = await rejection(client.executeOutOfBand('migrate-pause', {}, text, soon()))
      assert.ok(error instanceof QmpCapabilityError)
      assert.deepEqual(error.missing, ['oob'])
      assert.equal(asked.length, 1)
    })
  })
})

describe('the end of a connection', () => {
  test('the other side leaves half-way: what was pending is interrupted, its outcome unknown', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      await caller.next()
      await caller.next()
      caller.raw('{"return": {"status"')
      caller.leave()
    }
    await between(script, {}, async client => {
      const pending = ['migrate', 'quit'].map(name => rejection(client.execute(name, {}, ignoreReply, soon())))
      const errors = await Promise.all(pending)
      errors.forEach((error, at) => {
        assert.ok(error instanceof QmpInterrupted, String(error))
        assert.equal(error.command, ['migrate', 'quit'][at])
        assert.match(error.message, /the outcome is unknown: the other side closed the connection/)
      })
      assert.equal(client.runstate, 'idle')
      assert.equal((await client.ended).message, 'the other side closed the connection')
    })
  })

  test('a reply in the last packet still counts', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      caller.answer(await caller.next(), 'last words')
      caller.leave()
    }
    await between(script, {}, async client => {
      assert.equal(await client.execute('quit', {}, text, soon()), 'last words')
      await client.ended
    })
  })

  const breaches: readonly (readonly [what: string, says: string, message: RegExp])[] = [
    ['garbage', '\u0000\u0001garbage\n', /not JSON/],
    ['an object of no kind', '{"hello": 1}\n', /neither greeting, reply, error nor event/],
    ['a second greeting', frame(greeting()), /a second greeting/],
    [
      'an error without an id',
      '{"error": {"class": "GenericError", "desc": "Invalid JSON syntax"}}\n',
      /QEMU did not understand a frame: Invalid JSON syntax/,
    ],
  ]
  for (const [what, says, message] of breaches) {
    test(`${what} ends it with a QmpProtocolError, and interrupts what was pending`, async () => {
      const script = async (caller: Caller): Promise<void> => {
        await caller.welcome()
        await caller.next()
        caller.raw(says)
        await caller.gone
      }
      await between(script, {}, async client => {
        const error = await rejection(client.execute('migrate', {}, ignoreReply, soon()))
        assert.ok(error instanceof QmpInterrupted, String(error))
        const reason = await client.ended
        assert.ok(reason instanceof QmpProtocolError)
        assert.match(reason.message, message)
        assert.equal(error.cause, reason)
      })
    })
  }

  const largeReply = (size: number) => async (caller: Caller) => {
    await caller.welcome()
    const { id } = await caller.next()
    caller.raw(frame({ return: 'x'.repeat(size), id }))
    await caller.gone
  }

  test('a reply of 9 MiB is read', async () => {
    await between(largeReply(9 * MiB), {}, async client => {
      assert.equal(await client.execute('query-much', {}, raw => text(raw).length, soon()), 9 * MiB)
    })
  })

  test('a reply of 11 MiB ends the connection with a QmpProtocolError', async () => {
    await between(largeReply(11 * MiB), {}, async client => {
      const error = await rejection(client.execute('query-much', {}, ignoreReply, soon()))
      assert.ok(error instanceof QmpInterrupted, String(error))
      const reason = await client.ended
      assert.ok(reason instanceof QmpProtocolError)
      assert.equal(reason.message, 'a frame of more than 10485760 bytes')
    })
  })

  test('closing interrupts what is pending, and closing again changes nothing', async () => {
    await between(silent, {}, async client => {
      const pending = rejection(client.execute('migrate', {}, ignoreReply, soon()))
      await Promise.all([client.close(), client.close()])
      await client.close()
      const error = await pending
      assert.ok(error instanceof QmpInterrupted)
      assert.match(error.message, /migrate: .*the outcome is unknown: closed by this side/)
      assert.equal(client.runstate, 'idle')
      assert.equal((await client.ended).message, 'closed by this side')
    })
  })

  test('after it nothing can be sent or read, and the error says so', async () => {
    await between(echo, { capabilities: ['oob'] }, async (client, asked) => {
      await client.close()
      for (const call of [
        client.execute('quit', {}, ignoreReply, soon()),
        client.executeOutOfBand('quit', {}, ignoreReply, soon()),
      ]) {
        const error = await rejection(call)
        assert.ok(error instanceof QmpStateError)
        assert.deepEqual([error.command, error.runstate], ['quit', 'idle'])
        assert.equal(error.message, 'quit: the connection is idle, not running; nothing was sent')
      }
      assert.throws(() => client.events(soon()), QmpStateError)
      assert.equal(asked.length, 1)
      assert.equal(client.version.major, 7, 'what was learnt at the greeting stays known')
    })
  })
})

describe('run states', () => {
  const recorded = (): { readonly states: Runstate[]; readonly onRunstate: (state: Runstate) => void } => {
    const states: Runstate[] = []
    return { states, onRunstate: state => void states.push(state) }
  }

  test('a connection that works and is closed: connecting, running, disconnecting, idle', async () => {
    const { states, onRunstate } = recorded()
    await between(echo, { onRunstate }, async client => {
      assert.deepEqual(states, ['connecting', 'running'])
      await client.close()
      await client.close()
    })
    assert.deepEqual(states, ['connecting', 'running', 'disconnecting', 'idle'])
  })

  test('a connection that the other side ends: the same', async () => {
    const { states, onRunstate } = recorded()
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      await caller.next()
      caller.leave()
    }
    await between(script, { onRunstate }, async client => {
      await rejection(client.execute('quit', {}, ignoreReply, soon()))
      await client.ended
    })
    assert.deepEqual(states, ['connecting', 'running', 'disconnecting', 'idle'])
  })

  const failures: readonly (readonly [what: string, script: (caller: Caller) => Promise<void>, options: QmpOptions])[] =
    [
      ['no greeting', async caller => caller.gone, {}],
      ['garbage for a greeting', async caller => caller.raw('moo\n'), {}],
      ['a capability that is missing', async caller => caller.say(greeting([])), { capabilities: ['oob'] }],
      ['an end after the greeting', async caller => (caller.say(greeting()), caller.leave()), {}],
    ]
  for (const [what, script, options] of failures) {
    test(`a connection that fails for ${what}: connecting, disconnecting, idle, and never running`, async () => {
      const { states, onRunstate } = recorded()
      await using monitor = await startMonitor('unix', script, soon())
      await rejection(QmpClient.connect(monitor.address, { ...options, onRunstate }, AbortSignal.timeout(150)))
      assert.deepEqual(states, ['connecting', 'disconnecting', 'idle'])
    })
  }
})

describe('events', () => {
  const collect = async (events: AsyncIterable<QmpEvent>): Promise<readonly QmpEvent[]> => {
    const all: QmpEvent[] = []
    for await (const event of events) all.push(event)
    return all
  }

  /** Sends these when told `go`, then answers; leaves when told `quit`. */
  const teller = (frames: readonly object[]) => async (caller: Caller) => {
    await caller.welcome()
    for (;;) {
      const asked = await caller.next()
      if (asked.command === 'go') caller.say(...frames)
      caller.answer(asked, 'answered')
      if (asked.command === 'quit') caller.leave()
    }
  }

  test('a reader gets all of them from when it began, in order, until the connection ends', async () => {
    const frames = [eventFrame('STOP'), eventFrame('MIGRATION', { status: 'active' }), eventFrame('RESUME')]
    await between(teller(frames), {}, async client => {
      await client.execute('go', {}, text, soon())
      const read = collect(client.events(soon()))
      await client.execute('go', {}, text, soon())
      await client.execute('quit', {}, text, soon())
      const at = { seconds: 1_700_000_000, microseconds: 250 }
      assert.deepEqual(await read, [
        { name: 'STOP', data: {}, at },
        { name: 'MIGRATION', data: { status: 'active' }, at },
        { name: 'RESUME', data: {}, at },
      ])
    })
  })

  test('each reader has its own; one that stops takes nothing from the other', async () => {
    await between(teller([eventFrame('A'), eventFrame('B')]), {}, async client => {
      const whole = collect(client.events(soon()))
      const brief = client.events(soon())[Symbol.asyncIterator]()
      await client.execute('go', {}, text, soon())
      assert.equal((await brief.next()).value?.name, 'A')
      await brief.return?.()
      await client.execute('go', {}, text, soon())
      await client.close()
      assert.deepEqual(
        (await whole).map(({ name }) => name),
        ['A', 'B', 'A', 'B'],
      )
    })
  })

  test('a flood delays no reply; a slow reader keeps the newest and its losses are counted', async () => {
    const flood = Array.from({ length: 20_000 }, (_, n) => eventFrame('RTC_CHANGE', { n }))
    await between(teller(flood), { maxEvents: 16 }, async client => {
      const slow = client.events(soon())
      assert.equal(await client.execute('go', {}, text, AbortSignal.timeout(1_500)), 'answered')
      assert.equal(slow.dropped, 20_000 - 16)
      await client.close()
      const kept = await collect(slow)
      assert.deepEqual(
        kept.map(({ data }) => data['n']),
        Array.from({ length: 16 }, (_, k) => 20_000 - 16 + k),
      )
      assert.equal(client.stats.droppedEvents, 20_000 - 16)
    })
  })

  test('what a reader has lost is in the numbers of the client while it still reads', async () => {
    const frames = Array.from({ length: 10 }, (_, n) => eventFrame('RTC_CHANGE', { n }))
    await between(teller(frames), { maxEvents: 4 }, async client => {
      const [one, two] = [client.events(soon()), client.events(soon())]
      await client.execute('go', {}, text, soon())
      assert.deepEqual([one.dropped, two.dropped], [6, 6])
      assert.equal(client.stats.droppedEvents, 12)
      await client.close()
      assert.equal(client.stats.droppedEvents, 12, 'and is not counted twice at the end')
    })
  })

  test('a reader ends when its signal aborts, and the connection goes on', async () => {
    await between(teller([eventFrame('A')]), {}, async client => {
      const enough = new AbortController()
      const reader = client.events(enough.signal)[Symbol.asyncIterator]()
      await client.execute('go', {}, text, soon())
      assert.deepEqual((await reader.next()).value?.name, 'A')
      const waiting = reader.next()
      enough.abort()
      assert.equal((await waiting).done, true)
      assert.equal(await client.execute('query', {}, text, soon()), 'answered')
    })
  })
})

/** The libvirt client against a daemon that behaves, and one that does everything a daemon should not. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { argsOf, type Asked, type Caller, errorBody, message, startDaemon } from '../../test/libvirt-scripted-daemon.ts'
import { LibvirtClient, type LibvirtOptions, type LibvirtStats, type Runstate } from './client.ts'
import {
  errorCode,
  LibvirtCallError,
  LibvirtConnectError,
  LibvirtInterrupted,
  LibvirtParseError,
  LibvirtProtocolError,
  LibvirtStateError,
  LibvirtTooManyPending,
  LibvirtUriError,
} from './errors.ts'
import { headerSize, messageStatus, messageType, program } from './frame.ts'
import { type Domain, domain, events, type LibvirtEvent } from './procedures.ts'
import { parseLibvirtUri } from './uri.ts'
import { encode, XdrError } from './xdr.ts'

/** No wait of these tests is longer. */
const soon = (): AbortSignal => AbortSignal.timeout(3_000)
const MiB = 1_048_576
const quiet: LibvirtStats = {
  lateReplies: 0,
  unknownReplies: 0,
  unknownEvents: 0,
  undecodedEvents: 0,
  droppedEvents: 0,
  pings: 0,
}
const vm = (name: string): Domain => ({ name, uuid: Buffer.alloc(16, 7), id: 1 })
const hostname = (client: LibvirtClient, signal = soon()): Promise<string> =>
  client.call('connectGetHostname', undefined, signal).then(({ hostname: name }) => name)
const lookUp = (client: LibvirtClient, name: string, signal = soon()): Promise<string> =>
  client.call('domainLookupByName', { name }, signal).then(({ dom }) => dom.name)

/** Whatever a promise was rejected with. */
async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'was not rejected' })
}

/** Answers a look-up with a domain of that name, and a host's name with `host`. */
function answer(caller: Caller, asked: Asked): void {
  if (asked.name === 'connectGetHostname') caller.returns('connectGetHostname', asked, { hostname: 'host' })
  else if (asked.name === 'domainLookupByName')
    caller.returns('domainLookupByName', asked, { dom: vm(argsOf('domainLookupByName', asked).name) })
  else caller.answer(asked)
}

/** Lets in, and answers every call. */
async function obliging(caller: Caller): Promise<void> {
  await caller.welcome()
  for (;;) answer(caller, await caller.next())
}
/** Lets in, then reads on and is silent. */
async function silent(caller: Caller): Promise<void> {
  await caller.welcome()
  await caller.gone
}

/** A daemon and a client of it; both are gone when `tell` is over. */
async function between(
  script: (caller: Caller) => Promise<void>,
  options: LibvirtOptions,
  tell: (client: LibvirtClient, asked: readonly Asked[]) => Promise<void>,
): Promise<void> {
  await using daemon = await startDaemon(script, soon())
  await using client = await LibvirtClient.connect(daemon.uri, options, soon())
  await tell(client, daemon.asked)
}

const namesOf = (asked: readonly Asked[]): readonly (string | undefined)[] => asked.map(({ name }) => name)

describe('connecting', () => {
  test('asks how to authenticate, opens the driver, calls, takes leave', async () => {
    await using daemon = await startDaemon(obliging, soon())
    const client = await LibvirtClient.connect(daemon.uri, {}, soon())
    assert.equal(await hostname(client), 'host')
    await client.close()
    assert.equal((await client.ended).message, 'closed by this side')
    assert.deepEqual(namesOf(daemon.asked), ['authList', 'connectOpen', 'connectGetHostname', 'connectClose'])
    const [, open] = daemon.asked
    assert.ok(open !== undefined)
    assert.deepEqual(argsOf('connectOpen', open), { name: 'test:///default', flags: 0 })
    assert.deepEqual(
      daemon.asked.map(({ header }) => [header.program, header.version, header.type, header.status]),
      daemon.asked.map(() => [program.remote, 1, messageType.call, messageStatus.ok]),
    )
  })

  test('a URI that was read before, and a stream that is open already, will do', async () => {
    await using daemon = await startDaemon(obliging, soon())
    const uri = parseLibvirtUri(daemon.uri)
    await using first = await LibvirtClient.connect(uri, {}, soon())
    assert.equal(await hostname(first), 'host')
    const stream = connect({ path: uri.socket ?? '' })
    await once(stream, 'connect', { signal: soon() })
    await using second = await LibvirtClient.connect({ stream, driver: 'qemu:///system' }, {}, soon())
    assert.equal(await hostname(second), 'host')
    const open = daemon.asked.findLast(({ name }) => name === 'connectOpen')
    assert.ok(open !== undefined)
    assert.equal(argsOf('connectOpen', open).name, 'qemu:///system')
  })

  test('a stream that has ended already is a LibvirtConnectError, at once', async () => {
    await using daemon = await startDaemon(obliging, soon())
    const stream = connect({ path: parseLibvirtUri(daemon.uri).socket ?? '' })
    await once(stream, 'connect', { signal: soon() })
    stream.destroy()
    await once(stream, 'close', { signal: soon() })
    const error = await rejection(LibvirtClient.connect({ stream, driver: 'test:///default' }, {}, soon()))
    assert.ok(error instanceof LibvirtConnectError, String(error))
    assert.equal(error.message, 'the daemon: ended while it was opened: the stream is closed')
  })

  test('a URI that is none is a LibvirtUriError', async () => {
    const error = await rejection(LibvirtClient.connect('qemu/system', {}, soon()))
    assert.ok(error instanceof LibvirtUriError)
  })

  test('a signal that was aborted before opens no connection; one that aborts later ends it', async () => {
    let clients = 0
    const gone: Promise<void>[] = []
    const script = async (caller: Caller): Promise<void> => {
      clients += 1
      gone.push(caller.gone)
      await caller.gone
    }
    await using daemon = await startDaemon(script, soon())
    const reason = new Error('not any more')
    assert.equal(await rejection(LibvirtClient.connect(daemon.uri, {}, AbortSignal.abort(reason))), reason)
    await new Promise(resolve => setImmediate(resolve))
    assert.equal(clients, 0)
    const signal = AbortSignal.timeout(50)
    assert.equal(await rejection(LibvirtClient.connect(daemon.uri, {}, signal)), signal.reason)
    await Promise.all(gone)
    assert.equal(clients, 1)
  })

  const offering =
    (types: readonly number[], then: (caller: Caller) => Promise<void>) =>
    async (caller: Caller): Promise<void> => {
      caller.returns('authList', await caller.next(), { types })
      await then(caller)
    }
  const refusal = async (script: (caller: Caller) => Promise<void>): Promise<Error> => {
    await using daemon = await startDaemon(script, soon())
    const error = await rejection(LibvirtClient.connect(daemon.uri, {}, soon()))
    assert.ok(error instanceof Error)
    assert.ok(error.message.startsWith(`${daemon.uri}: `), error.message)
    return error
  }

  test('a daemon that wants SASL is a LibvirtConnectError that says what to do', async () => {
    const error = await refusal(offering([1], async caller => caller.gone))
    assert.ok(error instanceof LibvirtConnectError)
    assert.match(error.message, /wants authentication SASL, which Lifeboat does not speak\nuse qemu\+ssh, qemu\+tls/)
  })

  test('an authentication of a newer daemon is named by its number', async () => {
    const error = await refusal(offering([3, 4], async caller => caller.gone))
    assert.match(error.message, /wants authentication of type 3, 4/)
  })

  test('polkit is asked where it is wanted', async () => {
    const script = offering([2], async caller => {
      const asked = await caller.next()
      assert.equal(asked.name, 'authPolkit')
      caller.returns('authPolkit', asked, { complete: true })
      caller.answer(await caller.next())
      for (;;) answer(caller, await caller.next())
    })
    await between(script, {}, async client => assert.equal(await hostname(client), 'host'))
  })

  test('polkit that refuses is a LibvirtConnectError with its words and what to do', async () => {
    const text = 'authentication unavailable: no polkit agent available to authenticate action org.libvirt.unix.manage'
    const script = offering([2, 1], async caller => {
      caller.refuses(await caller.next(), errorBody(errorCode.authUnavailable, 60, text))
      await caller.gone
    })
    const error = await refusal(script)
    assert.ok(error instanceof LibvirtConnectError)
    assert.ok(error.message.includes(`polkit does not let this user in: ${text}\nbe root`), error.message)
    assert.ok(error.cause instanceof LibvirtCallError)
    assert.equal(error.cause.code, errorCode.authUnavailable)
  })

  test('none among several is taken', async () => {
    const script = offering([1, 0], async caller => {
      caller.answer(await caller.next())
      await caller.gone
    })
    await between(script, {}, async (_client, asked) => assert.deepEqual(namesOf(asked), ['authList', 'connectOpen']))
  })

  test('a driver the daemon does not have is a LibvirtConnectError with its words, code and place', async () => {
    const script = offering([0], async caller => {
      caller.refuses(await caller.next(), errorBody(errorCode.noConnect, 0, 'no connection driver available for x'))
      await caller.gone
    })
    const error = await refusal(script)
    assert.ok(error instanceof LibvirtConnectError)
    assert.match(error.message, /: the daemon refuses: no connection driver available for x$/)
    assert.ok(error.cause instanceof LibvirtCallError)
    assert.equal(error.cause.code, errorCode.noConnect)
  })

  test('a daemon that leaves half-way is a LibvirtConnectError, at once', async () => {
    for (const script of [
      async (caller: Caller) => caller.leave(),
      async (caller: Caller) => (await caller.next(), caller.leave()),
      offering([0], async caller => (await caller.next(), caller.leave())),
    ]) {
      const error = await refusal(script)
      assert.ok(error instanceof LibvirtConnectError, String(error))
      assert.match(error.message, /ended while it was opened: (the other side closed the connection|.*EPIPE)/)
    }
  })

  const strangers: readonly (readonly [what: string, says: Uint8Array, message: RegExp])[] = [
    [
      'a web server',
      Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
      /not libvirt's protocol: a message of 1213486160/,
    ],
    ['another version', message({ version: 2, procedure: 66, serial: 1 }), /not libvirt's protocol: version 2/],
    ['a reply to something else', message({ procedure: 67, serial: 1 }), /a reply to procedure 66 that says it is of/],
    ['a reply with the status of a stream', message({ procedure: 66, serial: 1, status: 2 }), /procedure 66, status 2/],
    ['a call', message({ type: messageType.call, serial: 1 }), /a message of type 0/],
    ['a stream', message({ type: messageType.stream, serial: 1 }), /a stream that nobody opened/],
  ]
  for (const [what, says, expected] of strangers)
    test(`${what} in place of the first reply is a LibvirtProtocolError`, async () => {
      const error = await refusal(async caller => {
        caller.raw(says)
        await caller.gone
      })
      assert.ok(error instanceof LibvirtProtocolError, String(error))
      assert.match(error.message, expected)
    })

  test('garbage in the packet that opens the driver is a LibvirtProtocolError, at once', async () => {
    const script = offering([0], async caller => {
      const { header } = await caller.next()
      caller.raw(message({ procedure: header.procedure, serial: header.serial }), Buffer.alloc(4))
      await caller.gone
    })
    assert.ok((await refusal(script)) instanceof LibvirtProtocolError)
  })
})

describe('calls', () => {
  test('replies that come out of order each find their call', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const three = [await caller.next(), await caller.next(), await caller.next()]
      for (const asked of three.reverse()) answer(caller, asked)
      await caller.gone
    }
    await between(script, {}, async client => {
      const names = ['one', 'two', 'three']
      assert.deepEqual(await Promise.all(names.map(name => lookUp(client, name))), names)
    })
  })

  test('a conversation in single bytes is the same conversation', async () => {
    const script = async (caller: Caller): Promise<void> => {
      const drip = (bytes: Buffer): Promise<void> => caller.packets(Array.from(bytes, byte => Buffer.of(byte)))
      const serialOf = async (): Promise<number> => (await caller.next()).header.serial
      await drip(message({ procedure: 66, serial: await serialOf() }, Buffer.from('0000000100000000', 'hex')))
      await drip(message({ procedure: 1, serial: await serialOf() }))
      const name = encode(events.lifecycle.body, { callbackId: 0, dom: vm('Schlüssel 鍵 🔑'), kind: 2, detail: 0 })
      await drip(message({ procedure: 318, type: messageType.message }, name))
      answer(caller, await caller.next())
      await caller.gone
    }
    await between(script, {}, async client => assert.equal(await lookUp(client, 'Schlüssel 鍵'), 'Schlüssel 鍵'))
  })

  test('calls of one turn arrive in order, and in few packets', async () => {
    await between(obliging, {}, async (client, asked) => {
      const names = Array.from({ length: 500 }, (_, n) => `vm-${n}`)
      assert.deepEqual(await Promise.all(names.map(name => lookUp(client, name))), names)
      assert.deepEqual(
        asked.slice(2).map(each => argsOf('domainLookupByName', each).name),
        names,
      )
      assert.equal(new Set(asked.map(({ header }) => header.serial)).size, 502)
    })
  })

  test('an error is a LibvirtCallError with libvirt’s code, domain and words', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      caller.refuses(
        await caller.next(),
        errorBody(errorCode.noDomain, 12, "Domain not found: no domain with name 'x'"),
      )
      caller.refuses(await caller.next(), errorBody(38, 7, undefined))
      for (;;) answer(caller, await caller.next())
    }
    await between(script, {}, async client => {
      const error = await rejection(lookUp(client, 'x'))
      assert.ok(error instanceof LibvirtCallError)
      assert.equal(error.message, "domainLookupByName: Domain not found: no domain with name 'x'")
      assert.deepEqual([error.procedure, error.code, error.domain], ['domainLookupByName', 42, 12])
      assert.equal(error.said, "Domain not found: no domain with name 'x'")
      const wordless = await rejection(hostname(client))
      assert.ok(wordless instanceof LibvirtCallError)
      assert.equal(wordless.message, 'connectGetHostname: error 38 of domain 7')
      assert.equal(await lookUp(client, 'y'), 'y', 'the connection goes on')
    })
  })

  const garbled: readonly (readonly [what: string, status: number, body: Buffer, message: RegExp])[] = [
    ['result is cut', 0, Buffer.of(0, 0, 0, 9, 65), /^domainLookupByName: the reply is not understood: a string/],
    ['result is empty', 0, Buffer.alloc(0), /the reply is not understood/],
    [
      'result has more behind it',
      0,
      Buffer.concat([encode(domain, vm('bad')), Buffer.alloc(4)]),
      /4 bytes are left over/,
    ],
    ['error is cut', 1, Buffer.of(0, 0, 0, 42), /^domainLookupByName: the error is not understood/],
    ['error is empty', 1, Buffer.alloc(0), /the error is not understood/],
    ['string says 4 GiB', 0, Buffer.alloc(8, 0xff), /4294967295 is more than 4194304/],
  ]
  for (const [what, status, body, expected] of garbled)
    test(`a reply whose ${what}: only that call fails, with a LibvirtParseError`, async () => {
      const script = async (caller: Caller): Promise<void> => {
        await caller.welcome()
        const [bad, good] = [await caller.next(), await caller.next()]
        caller.raw(message({ procedure: bad.header.procedure, serial: bad.header.serial, status }, body))
        answer(caller, good)
        for (;;) answer(caller, await caller.next())
      }
      await between(script, {}, async client => {
        const bad = rejection(lookUp(client, 'bad'))
        const good = lookUp(client, 'good')
        const error = await bad
        assert.ok(error instanceof LibvirtParseError, String(error))
        assert.match(error.message, expected)
        assert.ok(error.cause instanceof XdrError)
        assert.equal(await good, 'good')
        assert.equal(await lookUp(client, 'next'), 'next')
        assert.equal(client.runstate, 'running')
      })
    })

  test('arguments that do not fit are an XdrError, and nothing is sent', async () => {
    await between(obliging, { maxMessage: 1_000 }, async (client, asked) => {
      const dom = vm('x')
      for (const call of [
        client.call('domainGetState', { dom, flags: -1 }, soon()),
        client.call('domainGetState', { dom: { ...dom, uuid: Buffer.alloc(3) }, flags: 0 }, soon()),
        client.call('domainLookupByName', { name: 'a\0b' }, soon()),
        client.call('domainLookupByName', { name: 'x'.repeat(1_000) }, soon()),
      ])
        assert.ok((await rejection(call)) instanceof XdrError)
      assert.equal(await hostname(client), 'host')
      assert.deepEqual(namesOf(asked), ['authList', 'connectOpen', 'connectGetHostname'])
    })
  })

  test('a call that is given up rejects with the reason; its late reply is counted and routed nowhere', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const [late, later, next] = [await caller.next(), await caller.next(), await caller.next()]
      answer(caller, late)
      caller.refuses(later, errorBody(1, 1, 'later'))
      answer(caller, next)
      await caller.gone
    }
    await between(script, {}, async client => {
      const enough = new AbortController()
      const reason = new Error('enough')
      const hung = ['a', 'b'].map(name => rejection(lookUp(client, name, enough.signal)))
      enough.abort(reason)
      assert.deepEqual(await Promise.all(hung), [reason, reason])
      assert.equal(await lookUp(client, 'c'), 'c')
      assert.deepEqual(client.stats, { ...quiet, lateReplies: 2 })
    })
  })

  test('calls under one signal are given up together, others go on; a signal that outlives its calls holds none', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      answer(caller, await caller.next())
      const [, , other] = [await caller.next(), await caller.next(), await caller.next()]
      answer(caller, other)
      await caller.gone
    }
    await between(script, {}, async client => {
      const enough = new AbortController()
      assert.equal(await lookUp(client, 'before', enough.signal), 'before')
      const hung = ['a', 'b'].map(name => rejection(lookUp(client, name, enough.signal)))
      const other = lookUp(client, 'other')
      enough.abort()
      assert.deepEqual(await Promise.all(hung), [enough.signal.reason, enough.signal.reason])
      assert.equal(await other, 'other')
    })
  })

  test('a signal that was aborted before sends nothing', async () => {
    await between(obliging, {}, async (client, asked) => {
      const reason = new Error('too late')
      assert.equal(await rejection(lookUp(client, 'x', AbortSignal.abort(reason))), reason)
      await hostname(client)
      assert.deepEqual(namesOf(asked).slice(2), ['connectGetHostname'])
    })
  })

  test('a reply with an unknown serial, and a second one to the same call, are counted and ignored', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const asked = await caller.next()
      caller.raw(message({ procedure: 59, serial: 4711 }), message({ procedure: 59, serial: 0, status: 1 }))
      answer(caller, asked)
      answer(caller, asked)
      answer(caller, await caller.next())
      await caller.gone
    }
    await between(script, {}, async client => {
      assert.equal(await hostname(client), 'host')
      assert.equal(await lookUp(client, 'x'), 'x')
      assert.deepEqual(client.stats, { ...quiet, unknownReplies: 3 })
    })
  })

  test('one more than may be pending is refused and not sent; room comes back with a reply', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const [first, second] = [await caller.next(), await caller.next()]
      answer(caller, first)
      answer(caller, await caller.next())
      answer(caller, second)
      await caller.gone
    }
    await between(script, { maxPending: 2 }, async (client, asked) => {
      const [first, second] = [lookUp(client, 'first'), lookUp(client, 'second')]
      const error = await rejection(lookUp(client, 'third'))
      assert.ok(error instanceof LibvirtTooManyPending)
      assert.equal(error.message, 'domainLookupByName: 2 calls are unanswered already; nothing was sent')
      assert.equal(await first, 'first')
      assert.equal(await lookUp(client, 'fourth'), 'fourth')
      assert.equal(await second, 'second')
      assert.deepEqual(
        asked.slice(2).map(each => argsOf('domainLookupByName', each).name),
        ['first', 'second', 'fourth'],
      )
    })
  })

  test('a call that was given up is unanswered still and counts, or a silent daemon would be asked without bound', async () => {
    await between(silent, { maxPending: 2 }, async client => {
      const enough = new AbortController()
      const hung = ['a', 'b'].map(name => rejection(lookUp(client, name, enough.signal)))
      enough.abort()
      await Promise.all(hung)
      const error = await rejection(lookUp(client, 'c', AbortSignal.timeout(100)))
      assert.ok(error instanceof LibvirtTooManyPending, String(error))
      await client.close(AbortSignal.timeout(50))
    })
  })

  test('a reply of 4 MiB is read; one message of 33 MiB ends the connection', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      caller.returns('domainGetXmlDesc', await caller.next(), { xml: 'x'.repeat(4 * MiB) })
      await caller.next()
      caller.raw(Buffer.from('02100000', 'hex'))
      await caller.gone
    }
    await between(script, {}, async client => {
      const { xml } = await client.call('domainGetXmlDesc', { dom: vm('x'), flags: 0 }, soon())
      assert.equal(xml.length, 4 * MiB)
      assert.ok((await rejection(hostname(client))) instanceof LibvirtInterrupted)
      assert.ok((await client.ended) instanceof LibvirtProtocolError)
    })
  })
})

describe('keepalive', () => {
  const ping = message({ program: program.keepalive, procedure: 1, type: messageType.message })

  test('a ping is answered with a pong, also while a call is pending', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const asked = await caller.next()
      caller.raw(ping, ping)
      for (let n = 0; n < 2; n += 1) {
        const { header, body } = await caller.next()
        assert.deepEqual(header, {
          program: program.keepalive,
          version: 1,
          procedure: 2,
          type: messageType.message,
          serial: 0,
          status: messageStatus.ok,
        })
        assert.equal(body.length, 0)
      }
      answer(caller, asked)
      await caller.gone
    }
    await between(script, {}, async client => {
      assert.equal(await hostname(client), 'host')
      assert.deepEqual(client.stats, { ...quiet, pings: 2 })
    })
  })

  test('a pong that nobody asked for is ignored', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const asked = await caller.next()
      caller.raw(message({ program: program.keepalive, procedure: 2, type: messageType.message }))
      answer(caller, asked)
      await caller.gone
    }
    await between(script, {}, async client => {
      assert.equal(await hostname(client), 'host')
      assert.deepEqual(client.stats, quiet)
    })
  })
})

describe('a daemon that has fallen silent', () => {
  const keepalive = { interval: 20, count: 3 }
  const isPing = ({ header }: Asked): boolean =>
    header.program === program.keepalive && header.procedure === 1 && header.type === messageType.message
  const pong = message({ program: program.keepalive, procedure: 2, type: messageType.message })

  test('is asked whether it knows pings, then pinged, and as long as it answers, nothing happens', async () => {
    const answers = 8
    let finished: () => void = () => undefined
    const allAnswered = new Promise<void>(resolve => {
      finished = resolve
    })
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const asked = await caller.next()
      assert.deepEqual(
        [asked.name, argsOf('connectSupportsFeature', asked)],
        ['connectSupportsFeature', { feature: 10 }],
      )
      caller.returns('connectSupportsFeature', asked, { supported: true })
      for (let n = 0; n < answers; n += 1) {
        assert.ok(isPing(await caller.next()))
        caller.raw(pong)
      }
      finished()
      answer(caller, await caller.next())
      await caller.gone
    }
    await between(script, { keepalive }, async client => {
      await allAnswered
      assert.equal(await hostname(client), 'host')
      assert.equal(client.runstate, 'running')
    })
  })

  test('does not answer: the connection ends, and what was pending is interrupted', async () => {
    const seen: Asked[] = []
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      for (;;) {
        const asked = await caller.next()
        seen.push(asked)
        if (asked.name === 'connectSupportsFeature')
          caller.returns('connectSupportsFeature', asked, { supported: true })
      }
    }
    await between(script, { keepalive }, async client => {
      const error = await rejection(hostname(client))
      assert.ok(error instanceof LibvirtInterrupted, String(error))
      assert.match(
        error.message,
        /the outcome is unknown: nothing heard of it for 0.08 s, 3 keepalive messages unanswered/,
      )
      assert.equal(client.runstate, 'idle')
      assert.equal(seen.filter(isPing).length, 3)
    })
  })

  test('does not know pings: it may be silent', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      caller.returns('connectSupportsFeature', await caller.next(), { supported: false })
      answer(caller, await caller.next())
      await caller.gone
    }
    await between(script, { keepalive }, async client => {
      await new Promise(resolve => setTimeout(resolve, 10 * keepalive.interval))
      assert.equal(await hostname(client), 'host')
    })
  })

  test('works on as many calls as it reads of one client: that silence means nothing', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const asked: Asked[] = []
      while (asked.length < 5) asked.push(await caller.next())
      await new Promise(resolve => setTimeout(resolve, 10 * keepalive.interval))
      for (const each of asked) answer(caller, each)
      await caller.gone
    }
    await between(script, { keepalive }, async client => {
      const all = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(name => lookUp(client, name)))
      assert.deepEqual(all, ['a', 'b', 'c', 'd', 'e'])
    })
  })

  test('is left alone where nobody wants pings', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      answer(caller, await caller.next())
      await caller.gone
    }
    await between(script, { keepalive: false }, async client => {
      await new Promise(resolve => setTimeout(resolve, 10 * keepalive.interval))
      assert.equal(await hostname(client), 'host')
    })
  })
})

describe('the end of a connection', () => {
  test('the other side leaves in mid-message: what was pending is interrupted, its outcome unknown', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      const asked = await caller.next()
      await caller.next()
      caller.raw(message({ procedure: asked.header.procedure, serial: asked.header.serial }).subarray(0, 20))
      caller.leave()
    }
    await between(script, {}, async client => {
      const pending = ['a', 'b'].map(name => rejection(lookUp(client, name)))
      for (const error of await Promise.all(pending)) {
        assert.ok(error instanceof LibvirtInterrupted, String(error))
        assert.equal(error.procedure, 'domainLookupByName')
        assert.match(
          error.message,
          /the outcome is unknown: the other side closed the connection in the middle of a message, after 20 bytes of it/,
        )
      }
      assert.equal(client.runstate, 'idle')
      assert.match((await client.ended).message, /in the middle of a message/)
    })
  })

  test('a reply in the last packet still counts', async () => {
    const script = async (caller: Caller): Promise<void> => {
      await caller.welcome()
      answer(caller, await caller.next())
      caller.leave()
    }
    await between(script, {}, async client => {
      assert.equal(await lookUp(client, 'last words'), 'last words')
      assert.equal((await client.ended).message, 'the other side closed the connection')
    })
  })

  const breaches: readonly (readonly [what: string, says: Uint8Array, message: RegExp])[] = [
    ['a length of nothing', Buffer.alloc(4), /a message of 0 bytes/],
    ['a length that cannot hold its header', Buffer.of(0, 0, 0, 27), /a message of 27 bytes/],
    ['a length of 4 GiB', Buffer.alloc(4, 0xff), /a message of 4294967295 bytes/],
    ['another version', message({ version: 7 }), /version 7 of the protocol/],
    ['a stream', message({ type: messageType.stream, serial: 3 }), /a stream that nobody opened/],
    ['a call of ours', message({ type: messageType.call }), /a message of type 0/],
    ['a reply to another procedure', message({ procedure: 14, serial: 3 }), /a reply to procedure 59 .* procedure 14/],
  ]
  for (const [what, says, expected] of breaches)
    test(`${what} ends it with a LibvirtProtocolError, and interrupts what was pending`, async () => {
      const script = async (caller: Caller): Promise<void> => {
        await caller.welcome()
        assert.equal((await caller.next()).header.serial, 3)
        caller.raw(says)
        await caller.gone
      }
      await between(script, {}, async client => {
        const error = await rejection(hostname(client))
        assert.ok(error instanceof LibvirtInterrupted, String(error))
        const reason = await client.ended
        assert.ok(reason instanceof LibvirtProtocolError)
        assert.match(reason.message, expected)
        assert.equal(error.cause, reason)
      })
    })

  test('closing interrupts what is pending at once, and closing again changes nothing', async () => {
    await between(silent, {}, async client => {
      const pending = rejection(lookUp(client, 'x'))
      const closed = Promise.all([client.close(), client.close()])
      const error = await pending
      assert.ok(error instanceof LibvirtInterrupted)
      assert.match(error.message, /domainLookupByName: .*the outcome is unknown: closed by this side/)
      await closed
      await client.close()
      assert.equal(client.runstate, 'idle')
      assert.equal((await client.ended).message, 'closed by this side')
    })
  })

  test('a daemon that does not take leave is left when the signal aborts', async () => {
    const deaf = await startDaemon(silent, soon())
    const stream = connect({ path: parseLibvirtUri(deaf.uri).socket ?? '' })
    await once(stream, 'connect', { signal: soon() })
    const client = await LibvirtClient.connect({ stream, driver: 'x' }, {}, soon())
    stream.pause()
    const began = performance.now()
    await client.close(AbortSignal.timeout(100))
    assert.ok(performance.now() - began < 900)
    assert.equal(client.runstate, 'idle')
    await deaf[Symbol.asyncDispose]()
  })

  test('after it nothing can be sent or read, and the error says so', async () => {
    await between(obliging, {}, async (client, asked) => {
      const leaving = client.close()
      assert.ok((await rejection(hostname(client))) instanceof LibvirtStateError)
      await leaving
      const error = await rejection(hostname(client))
      assert.ok(error instanceof LibvirtStateError)
      assert.equal(error.procedure, 'connectGetHostname')
      assert.equal(error.message, 'connectGetHostname: the connection is idle, not running; nothing was sent')
      assert.throws(() => client.events(soon()), LibvirtStateError)
      assert.ok((await rejection(client.watch(['lifecycle'], soon()))) instanceof LibvirtStateError)
      assert.deepEqual(namesOf(asked), ['authList', 'connectOpen', 'connectClose'])
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
    await between(obliging, { onRunstate }, async client => {
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
      await rejection(hostname(client))
      await client.ended
    })
    assert.deepEqual(states, ['connecting', 'running', 'disconnecting', 'idle'])
  })

  const failures: readonly (readonly [what: string, script: (caller: Caller) => Promise<void>])[] = [
    ['no answer', async caller => caller.gone],
    ['garbage', async caller => caller.raw(Buffer.from('moo moo'))],
    ['a daemon that leaves', async caller => caller.leave()],
    ['SASL', async caller => caller.returns('authList', await caller.next(), { types: [1] })],
  ]
  for (const [what, script] of failures)
    test(`a connection that fails for ${what}: connecting, disconnecting, idle, and never running`, async () => {
      const { states, onRunstate } = recorded()
      await using daemon = await startDaemon(script, soon())
      await rejection(LibvirtClient.connect(daemon.uri, { onRunstate }, AbortSignal.timeout(150)))
      assert.deepEqual(states, ['connecting', 'disconnecting', 'idle'])
    })
})

describe('events', () => {
  const lifecycle = (name: string, event = 3): Buffer =>
    message(
      { procedure: 318, type: messageType.message },
      encode(events.lifecycle.body, { callbackId: 1, dom: vm(name), kind: event, detail: 0 }),
    )
  const collect = async (from: AsyncIterable<LibvirtEvent>): Promise<readonly LibvirtEvent[]> => {
    const all: LibvirtEvent[] = []
    for await (const event of from) all.push(event)
    return all
  }
  const namesIn = (all: readonly LibvirtEvent[]): readonly string[] => all.map(({ dom }) => dom.name)

  /** Sends these when asked for the host’s name, then answers. */
  const teller =
    (...frames: readonly Uint8Array[]) =>
    async (caller: Caller) => {
      await caller.welcome()
      for (;;) {
        const asked = await caller.next()
        if (asked.name === 'connectGetHostname') caller.raw(...frames)
        if (asked.name === 'connectDomainEventCallbackRegisterAny')
          caller.returns('connectDomainEventCallbackRegisterAny', asked, { callbackId: 1 })
        else answer(caller, asked)
      }
    }

  test('watching asks for each kind, of all domains', async () => {
    await between(teller(), {}, async (client, asked) => {
      await client.watch(['lifecycle', 'migrationIteration', 'jobCompleted'], soon())
      assert.deepEqual(
        asked.slice(2).map(each => argsOf('connectDomainEventCallbackRegisterAny', each)),
        [0, 20, 21].map(eventId => ({ eventId, dom: undefined })),
      )
    })
  })

  test('a reader gets all three kinds, in order, until the connection ends', async () => {
    const iteration = encode(events.migrationIteration.body, { callbackId: 2, dom: vm('b'), iteration: 4 })
    const params = [{ field: 'downtime_net', value: { type: 'ullong', value: 12n } as const }]
    const completed = encode(events.jobCompleted.body, { callbackId: 3, dom: vm('c'), params })
    const script = teller(
      lifecycle('a', 5),
      message({ procedure: 359, type: messageType.message }, iteration),
      message({ procedure: 363, type: messageType.message }, completed),
    )
    await between(script, {}, async client => {
      const read = collect(client.events(soon()))
      await hostname(client)
      await client.close()
      assert.deepEqual(await read, [
        { event: 'lifecycle', callbackId: 1, dom: vm('a'), detail: 0, kind: 5 },
        { event: 'migrationIteration', callbackId: 2, dom: vm('b'), iteration: 4 },
        { event: 'jobCompleted', callbackId: 3, dom: vm('c'), params },
      ])
    })
  })

  test('an event of a procedure or a program that is not known is counted and ignored', async () => {
    const script = teller(
      message({ procedure: 999, type: messageType.message }, Buffer.from('from the future.')),
      message({ program: 0x20_00_80_87, procedure: 318, type: messageType.message }),
      lifecycle('a'),
    )
    await between(script, {}, async client => {
      const read = collect(client.events(soon()))
      assert.equal(await hostname(client), 'host')
      assert.deepEqual(client.stats, { ...quiet, unknownEvents: 2 })
      await client.close()
      assert.deepEqual(namesIn(await read), ['a'])
    })
  })

  test('an event whose body does not decode is counted and lost; those around it are not', async () => {
    const broken = message({ procedure: 318, type: messageType.message }, Buffer.alloc(12, 0xff))
    await between(teller(lifecycle('a'), broken, lifecycle('b')), {}, async client => {
      const read = collect(client.events(soon()))
      assert.equal(await hostname(client), 'host')
      assert.deepEqual(client.stats, { ...quiet, undecodedEvents: 1 })
      await client.close()
      assert.deepEqual(namesIn(await read), ['a', 'b'])
    })
  })

  test('a flood delays no reply; a slow reader keeps the newest and its losses are counted', async () => {
    const flood = Array.from({ length: 20_000 }, (_, n) => lifecycle(`vm-${n}`))
    await between(teller(Buffer.concat(flood)), { maxEvents: 16 }, async client => {
      const slow = client.events(soon())
      assert.equal(await hostname(client), 'host')
      assert.equal(slow.dropped, 20_000 - 16)
      assert.equal(client.stats.droppedEvents, 20_000 - 16)
      await client.close()
      assert.deepEqual(
        namesIn(await collect(slow)),
        Array.from({ length: 16 }, (_, k) => `vm-${20_000 - 16 + k}`),
      )
      assert.equal(client.stats.droppedEvents, 20_000 - 16, 'and is not counted twice at the end')
    })
  })

  test('a reader ends when its signal aborts, and the connection goes on', async () => {
    await between(teller(lifecycle('a')), {}, async client => {
      const enough = new AbortController()
      const reader = client.events(enough.signal)[Symbol.asyncIterator]()
      await hostname(client)
      assert.equal((await reader.next()).value?.dom.name, 'a')
      const waiting = reader.next()
      enough.abort()
      assert.equal((await waiting).done, true)
      assert.equal(await hostname(client), 'host')
    })
  })
})

describe('messages of any kind', () => {
  test('whatever bytes come, the client ends with a typed error or goes on; nothing is thrown at the process', async () => {
    let seed = 20_110_311
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
      return seed % below
    }
    for (let round = 0; round < 60; round += 1) {
      const script = async (caller: Caller): Promise<void> => {
        await caller.welcome()
        await caller.next()
        const header = { procedure: [59, 318, 359, 363, 1][random(5)] ?? 0, type: random(4), serial: random(5) }
        const good = message(
          { ...header, status: random(3) },
          Buffer.from(Array.from({ length: random(60) }, () => random(256))),
        )
        const at = random(2) === 0 ? headerSize + 4 : random(good.length)
        if (at < good.length) good[at] = random(256)
        caller.raw(good)
        caller.leave()
      }
      await using daemon = await startDaemon(script, soon())
      const client = await LibvirtClient.connect(daemon.uri, {}, soon())
      await hostname(client).catch((error: unknown) => {
        const known = [LibvirtInterrupted, LibvirtCallError, LibvirtParseError]
        assert.ok(
          known.some(kind => error instanceof kind),
          String(error),
        )
      })
      await client.ended
      await client.close()
    }
  })
})

/** The table against bytes that libvirtd 9.0.0 sent (its test driver's default host), and against itself. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { events, type ProcedureName, procedures, remoteError } from './procedures.ts'
import { type Codec, decode, encode } from './xdr.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
const dom = { name: 'test', uuid: hex('6695eb01f6a4830479aa97f2502e193f'), id: 1 }
const domBytes = '00000004 74657374 6695eb01f6a4830479aa97f2502e193f 00000001'
const poolBytes = '0000000c 64656661756c742d706f6f6c'

/** As libvirtd said it. */
const replies: readonly (readonly [name: ProcedureName, bytes: string, value: unknown])[] = [
  ['authList', '00000001 00000000', { types: [0] }],
  ['connectOpen', '', undefined],
  ['connectDomainEventCallbackRegisterAny', '00000000', { callbackId: 0 }],
  [
    'nodeGetInfo',
    `00000069 00000036 00000038 00000036 ${'00000000'.repeat(28)}
     0000000000300000 00000010 00000578 00000002 00000002 00000002 00000002`,
    {
      model: [105, 54, 56, 54].concat(Array.from({ length: 28 }, () => 0)),
      memory: 3_145_728,
      cpus: 16,
      mhz: 1400,
      nodes: 2,
      sockets: 2,
      cores: 2,
      threads: 2,
    },
  ],
  ['connectListAllDomains', `00000001 ${domBytes} 00000001`, { domains: [dom], ret: 1 }],
  [
    'domainGetInfo',
    '00000001 0000000000800000 0000000000200000 00000002 18ebc52b65818030',
    // More nanoseconds than a double counts.
    { state: 1, maxMemory: 8_388_608, memory: 2_097_152, cpus: 2, cpuTime: 0x18ebc52b65818030n },
  ],
  ['domainGetState', '00000001 00000000', { state: 1, reason: 0 }],
  [
    'connectGetAllDomainStats',
    `00000001 ${domBytes} 00000002
     0000000b 73746174652e737461746500 00000001 00000001
     0000000c 73746174652e726561736f6e 00000001 00000000`,
    {
      records: [
        {
          dom,
          params: [
            { field: 'state.state', value: { type: 'int', value: 1 } },
            { field: 'state.reason', value: { type: 'int', value: 0 } },
          ],
        },
      ],
    },
  ],
  [
    'connectListAllStoragePools',
    `00000001 ${poolBytes} dfe224cb28fb8dd0c4b264eb3f0f4566 00000001`,
    { pools: [{ name: 'default-pool', uuid: hex('dfe224cb28fb8dd0c4b264eb3f0f4566') }], ret: 1 },
  ],
  [
    'storagePoolGetInfo',
    '00000002 0000001900000000 0000000000000000 0000001900000000',
    { state: 2, capacity: 107_374_182_400, allocation: 0, available: 107_374_182_400 },
  ],
  [
    'storageVolCreateXml',
    `${poolBytes} 00000008 6469736b2e696d67 00000016 2f64656661756c742d706f6f6c2f6469736b2e696d670000`,
    { vol: { pool: 'default-pool', name: 'disk.img', key: '/default-pool/disk.img' } },
  ],
  [
    'storageVolGetInfo',
    '00000000 0000000000100000 0000000000100000',
    { type: 0, capacity: 1_048_576, allocation: 1_048_576 },
  ],
]

describe('what libvirtd said', () => {
  for (const [name, bytes, value] of replies)
    test(`the reply to ${name}`, () => {
      const codec = procedures[name].result as unknown as Codec<unknown>
      assert.deepEqual(decode(codec, hex(bytes), name), value)
      assert.deepEqual(encode(codec, value), hex(bytes))
    })

  test('an error', () => {
    const bytes = hex(`0000002a 0000000c
      00000001 00000010 446f6d61696e206e6f7420666f756e64 00000002 00000000
      00000001 00000010 446f6d61696e206e6f7420666f756e64 00000000 00000000 ffffffff ffffffff 00000000`)
    const { code, domain, message, level } = decode(remoteError, bytes, 'an error')
    assert.deepEqual([code, domain, message, level], [42, 12, 'Domain not found', 2])
  })

  test('an event', () => {
    assert.deepEqual(decode(events.lifecycle.body, hex(`00000000 ${domBytes} 00000003 00000000`), 'lifecycle'), {
      callbackId: 0,
      dom,
      kind: 3,
      detail: 0,
    })
  })
})

describe('the table', () => {
  test('has each number once: libvirt never gives one twice', () => {
    const numbers = [
      ...Object.values(procedures).map(({ program, number }) => `${program} ${number}`),
      ...Object.values(events).map(({ number }) => `remote ${number}`),
    ]
    assert.equal(new Set(numbers).size, numbers.length)
  })

  test('is in the order of libvirt’s own', () => {
    const numbers = Object.values(procedures)
      .filter(({ program }) => program === 'remote')
      .map(({ number }) => number)
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    )
  })
})

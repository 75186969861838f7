/** Real folders on this machine: what `lifeboat policy set` does to a QEMU host's files. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { hostId, vmId } from '../../core/ids.ts'
import type { PolicyWords } from '../../core/inventory/policy-words.ts'
import { localRemote } from '../../remote/local.ts'
import type { Remote } from '../../remote/remote.ts'
import { PolicyNotWritten, type WhyNotWritten } from '../policy-not-written.ts'
import { parseDefinition } from './definition.ts'
import { VmFolder } from './vm-folder.ts'
import { writePolicy } from './write-policy.ts'

const web = vmId('web')
const signal = (): AbortSignal => AbortSignal.timeout(10_000)
const definition = JSON.stringify({
  version: 1,
  name: 'web',
  uuid: '0c0ffee0-0000-4000-8000-000000000001',
  memory: '1GiB',
  argv: ['qemu-system-x86_64', '-drive', 'file={dir}/disk.img'],
  value: 7,
})

describe('the policy in a vm.json', () => {
  let folder: string
  let file: string
  const write = (words: PolicyWords, remote: Remote = localRemote): Promise<void> =>
    writePolicy(new VmFolder(remote, folder), { vm: web, host: hostId('a-1'), own: words }, signal())
  const refused = (code: WhyNotWritten, about: RegExp) => (error: unknown) => {
    assert.ok(error instanceof PolicyNotWritten, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, /^the policy of web at a-1 was not written: .*The VM is as it was\. Next: /s)
    assert.match(error.message, about)
    return true
  }

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lifeboat-policy-'))
    mkdirSync(join(folder, 'web'))
    file = join(folder, 'web', 'vm.json')
    writeFileSync(file, definition)
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test('is written whole, and all else stays as it was', async () => {
    await write({ group: 'shop', antiAffinity: "d'b $(x)" })
    const before = parseDefinition(definition)
    assert.deepEqual(parseDefinition(readFileSync(file, 'utf8')), {
      ...before,
      value: 1,
      group: 'shop',
      policy: { ...before.policy, antiAffinity: "d'b $(x)" },
    })
    assert.deepEqual(readdirSync(join(folder, 'web')), ['vm.json'])
  })

  test('of a VM that is not there, or only arrives, is not written', async () => {
    rmSync(file)
    await assert.rejects(write({ value: 2 }), refused('no-such-vm', /vm\.json is not there/))
    writeFileSync(join(folder, 'web', 'arriving.json'), definition)
    await assert.rejects(write({ value: 2 }), refused('no-such-vm', /vm\.json is not there/))
    assert.equal(readFileSync(join(folder, 'web', 'arriving.json'), 'utf8'), definition)
  })

  test('of a VM that left while it was written does not bring the VM back', async () => {
    const leaves: Remote = {
      ...localRemote,
      run: async (argv, options, s) => {
        if (options.stdin === undefined) return localRemote.run(argv, options, s)
        await new VmFolder(localRemote, folder).bury(web, 'b-1', s)
        return localRemote.run(argv, options, s)
      },
    }
    await assert.rejects(write({ value: 2 }, leaves), refused('no-such-vm', /vm\.json is not there/))
    assert.ok(!existsSync(file))
    assert.deepEqual(readdirSync(join(folder, 'web')), ['evacuated.json'])
  })

  test('beside a tombstone is not touched', async () => {
    writeFileSync(join(folder, 'web', 'evacuated.json'), '{}')
    await assert.rejects(write({ value: 2 }), refused('refused', /evacuated\.json says that it left/))
    assert.equal(readFileSync(file, 'utf8'), definition)
  })

  test('that may not be written is said to be so', async () => {
    const denied: Remote = {
      ...localRemote,
      run: (argv, options, s) =>
        options.stdin === undefined
          ? localRemote.run(argv, options, s)
          : Promise.resolve({ code: 2, stdout: '', stderr: 'sh: 2: cannot create vm.json.new: Permission denied' }),
    }
    await assert.rejects(write({ value: 2 }, denied), refused('not-allowed', /Permission denied/))
    chmodSync(file, 0o600)
    assert.equal(readFileSync(file, 'utf8'), definition)
  })
})

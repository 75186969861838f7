/** What the folder has on record of arrivals, in a folder of this machine. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { vmId } from '../../core/ids.ts'
import { localRemote } from '../../remote/local.ts'
import { parseDefinition } from './definition.ts'
import { VmFolder } from './vm-folder.ts'

const signal = (): AbortSignal => AbortSignal.timeout(5_000)
const definitionOf = (name: string) =>
  parseDefinition(
    JSON.stringify({ version: 1, name, uuid: '0c0ffee0-0000-4000-8000-000000000001', memory: '64MiB', argv: ['qemu'] }),
  )

async function withFolder(tell: (folder: VmFolder, path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'lifeboat-folder-'))
  try {
    await tell(new VmFolder(localRemote, join(path, 'vms')), path)
  } finally {
    await rm(path, { recursive: true })
  }
}

test('a folder that is not there is not one without VMs', () =>
  withFolder(async (folder, path) => {
    await assert.rejects(folder.list(signal()), /has no folder .*vms: correct the uri/)
    await mkdir(join(path, 'vms'))
    assert.deepEqual(await folder.list(signal()), { entries: [], bad: [] })
  }))

test('an image that was made for one that arrives is not another’s', () =>
  withFolder(async (folder, path) => {
    const [web, shop] = [vmId('web'), vmId('shop')]
    const image = join(path, 'disk.img')
    assert.equal(await folder.madeFor(shop, image, signal()), undefined)
    await folder.writeArriving(definitionOf('web'), '{}', signal())
    await folder.recordMade(web, [image], signal())
    assert.equal(await folder.madeFor(shop, image, signal()), 'web')
    assert.equal(await folder.madeFor(web, image, signal()), undefined)
    assert.equal(await folder.madeFor(shop, join(path, 'disk'), signal()), undefined)
  }))

test('what was made for an earlier arrival is not taken away with a later one', () =>
  withFolder(async (folder, path) => {
    const web = vmId('web')
    const image = join(path, 'disk.img')
    await writeFile(image, 'its disk')
    await folder.writeArriving(definitionOf('web'), '{}', signal())
    await folder.recordMade(web, [image], signal())
    await folder.settle(web, signal())
    // A controller that was killed in the midst of settling left it.
    await folder.recordMade(web, [image], signal())
    await folder.bury(web, 'b-1', signal())
    await folder.writeArriving(definitionOf('web'), '{}', signal())
    await folder.removeArriving(web, signal())
    assert.ok((await readdir(path)).includes('disk.img'))
    assert.deepEqual(await readdir(join(path, 'vms', 'web')), ['evacuated.json'])
  }))

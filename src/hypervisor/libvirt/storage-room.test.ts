/** What room for disks makes, takes for its own, and removes, against a daemon that has a pool and domains. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostId, vmId } from '../../core/ids.ts'
import { MigrationError } from '../../core/migration/failure.ts'
import { bytes, mebibytes } from '../../core/units.ts'
import { realClock } from '../../engine/real-clock.ts'
import { errorCode, LibvirtCallError } from '../../libvirt/public.ts'
import { tombstoneXml } from './domain-xml.ts'
import { Domains } from './domains.ts'
import type { DiskDefinition } from './libvirt-definition.ts'
import { StorageRoom } from './storage-room.ts'

const folder = '/images'
const web = { vm: vmId('web'), name: 'web', uuid: '0c0ffee0-0000-4000-8000-000000000001' }
const shop = { vm: vmId('shop'), name: 'shop', uuid: '0c0ffee0-0000-4000-8000-000000000002' }
const signal = (): AbortSignal => AbortSignal.timeout(5_000)

interface Volume {
  readonly capacity: number
  readonly allocation: number
}

/** A pool as LVM has it: the key of a volume is no path. */
class FakeDaemon {
  readonly volumes = new Map<string, Volume>()
  readonly domains = new Map<string, { uuid: string; xml: string }>()
  /** Made by somebody else when that one is asked for. */
  raced: string | undefined

  call(name: string, args: Record<string, unknown>): Promise<unknown> {
    const vol = (volume: string) => ({ pool: 'p', name: volume, key: `key of ${volume}` })
    const asked = Object(args['vol'])['name'] ?? args['name']
    const found = this.volumes.get(String(asked))
    const has = (): Volume => {
      if (found === undefined) throw refusal(errorCode.noStorageVol)
      return found
    }
    return Promise.resolve().then(() => {
      switch (name) {
        case 'connectListAllDomains':
          return { domains: [...this.domains].map(([dom, { uuid }]) => ({ name: dom, uuid: uuidBytes(uuid), id: 1 })) }
        case 'domainGetXmlDesc':
          return { xml: this.domains.get(String(Object(args['dom'])['name']))?.xml }
        case 'connectListAllStoragePools':
          return { pools: [{ name: 'p', uuid: Buffer.alloc(16) }] }
        case 'storagePoolLookupByTargetPath':
        case 'storagePoolLookupByName':
          return { pool: { name: 'p', uuid: Buffer.alloc(16) } }
        case 'storagePoolListAllVolumes':
          return { vols: [...this.volumes.keys()].map(vol) }
        case 'storagePoolRefresh':
          return {}
        case 'storagePoolGetInfo':
          return { available: 2 ** 40 }
        case 'storagePoolGetXmlDesc':
          return { xml: "<pool type='dir'/>" }
        case 'storageVolLookupByName':
          has()
          return { vol: vol(String(asked)) }
        case 'storageVolGetInfo':
          return has()
        case 'storageVolGetInfoFlags':
          return has()
        case 'storageVolGetXmlDesc':
          return { xml: `<volume><target><path>${folder}/${asked}</path><format type='raw'/></target></volume>` }
        case 'storageVolCreateXml': {
          const made = /<name>(.*)<\/name>/.exec(String(args['xml']))?.[1] ?? ''
          if (made === this.raced) this.volumes.set(made, { capacity: 1, allocation: 1 })
          if (this.volumes.has(made)) throw refusal(90)
          this.volumes.set(made, { capacity: mebibytes(64), allocation: 0 })
          return { vol: vol(made) }
        }
        case 'storageVolDelete':
          this.volumes.delete(String(asked))
          return {}
        default:
          throw new Error(`no call ${name}`)
      }
    })
  }
}

const refusal = (code: number): LibvirtCallError =>
  Object.assign(Object.create(LibvirtCallError.prototype) as LibvirtCallError, { code, said: 'no', message: 'no' })
const uuidBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex')
const room = (daemon: FakeDaemon): StorageRoom =>
  new StorageRoom(new Domains(hostId('b-1'), daemon as unknown as Domains['daemon'], realClock()))
const image = (path: string) => ({
  path,
  format: 'raw',
  capacity: mebibytes(64),
  allocation: mebibytes(60),
  length: mebibytes(64),
})
const disk = (...paths: readonly string[]): DiskDefinition => ({
  target: 'vda',
  kind: 'copied',
  storage: 'file',
  mayBeMissing: false,
  chain: paths.map(image),
})
const domain = (name: string, uuid: string, path: string): string =>
  `<domain type='kvm'><name>${name}</name><uuid>${uuid}</uuid><memory>1</memory><os><type>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${path}'/><target dev='vda'/></disk></devices></domain>`
const whole = { capacity: mebibytes(64), allocation: mebibytes(60) }
const make = (daemon: FakeDaemon, who: typeof web, ...disks: readonly DiskDefinition[]) =>
  room(daemon).make(who.vm, { name: who.name, uuid: who.uuid, disks }, signal())
const left = (daemon: FakeDaemon): void => {
  const xml = tombstoneXml(domain('web', web.uuid, `${folder}/web.img`), 'a-1')
  daemon.domains.set('web.evacuated', { uuid: '0c0ffee0-0000-4000-8000-00000000000f', xml })
}
const refused = (work: Promise<unknown>, why: RegExp): Promise<void> =>
  assert.rejects(work, error => error instanceof MigrationError && why.test(error.message))

test('what it left is written over where it left it, and nothing else of that name', async () => {
  const daemon = new FakeDaemon()
  daemon.volumes.set('web.img', whole).set('data.img', whole)
  left(daemon)
  assert.deepEqual(await make(daemon, web, disk(`${folder}/web.img`)), { targets: ['vda'], incremental: false })
  await refused(make(daemon, web, disk(`${folder}/data.img`)), /data\.img .*may be somebody's/)
})

test('that it is defined there too says nothing: it may be the disk it runs on', async () => {
  const daemon = new FakeDaemon()
  daemon.volumes.set('web.img', whole)
  daemon.domains.set('web', { uuid: web.uuid, xml: domain('web', web.uuid, `${folder}/web.img`) })
  await refused(make(daemon, web, disk(`${folder}/web.img`)), /may be somebody's.*share/)
})

test('what it left is no base of a snapshot that was made since, nor is what another writes to', async () => {
  for (const owner of ['web', 'shop']) {
    const daemon = new FakeDaemon()
    daemon.volumes.set('web.img', whole)
    if (owner === 'web') left(daemon)
    else daemon.domains.set('shop', { uuid: shop.uuid, xml: domain('shop', shop.uuid, `${folder}//web.img`) })
    const order = await make(daemon, web, disk(`${folder}/web.snap`, `${folder}/web.img`))
    assert.equal(order.incremental, false, owner)
  }
})

test('two that are on their way do not get one volume', async () => {
  const daemon = new FakeDaemon()
  await make(daemon, web, disk(`${folder}/disk.img`))
  await refused(make(daemon, shop, disk(`${folder}/disk.img`)), /on its way there/)
})

test('what a domain has is not removed, by whatever name it calls it', async () => {
  for (const path of [`${folder}/web.img`, `${folder}//web.img`]) {
    const daemon = new FakeDaemon()
    await make(daemon, web, disk(`${folder}/web.img`))
    daemon.domains.set('web', { uuid: web.uuid, xml: domain('web', web.uuid, path) })
    await room(daemon).clear(web.vm, signal())
    assert.deepEqual([...daemon.volumes.keys()], ['web.img'], path)
  }
})

test('what somebody made in the same moment is theirs', async () => {
  const daemon = new FakeDaemon()
  daemon.raced = 'web.img'
  await assert.rejects(make(daemon, web, disk(`${folder}/web.img`)))
  await room(daemon).clear(web.vm, signal())
  assert.deepEqual(daemon.volumes.get('web.img'), { capacity: bytes(1), allocation: bytes(1) })
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mebibytes } from '../../core/units.ts'
import { deviceModels, hostCapabilities, networkFrom, poolFrom } from './capabilities-xml.ts'

test('a host', () => {
  const xml = `<capabilities><host><uuid>5D8D92E7-0000-0000-0000-000000000001</uuid>
    <cpu><arch>x86_64</arch><model>EPYC</model><vendor>AMD</vendor><microcode version='137367080'/>
    <topology sockets='1' dies='1' cores='2' threads='1'/><feature name='aes'/><feature name='avx2'/>
    <pages unit='KiB' size='4'/><pages unit='KiB' size='2048'/><pages unit='KiB' size='1048576'/></cpu></host><guest/></capabilities>`
  assert.deepEqual(hostCapabilities(xml), {
    uuid: '5d8d92e7-0000-0000-0000-000000000001',
    arch: 'x86_64',
    cpu: { vendor: 'AMD', model: 'EPYC', features: ['aes', 'avx2'], microcode: '137367080' },
    pageSizes: [mebibytes(2), mebibytes(1024)],
  })
  assert.deepEqual(hostCapabilities('<capabilities/>'), {
    uuid: undefined,
    arch: undefined,
    cpu: undefined,
    pageSizes: [],
  })
})

test('what a QEMU has; what it says nothing of is missing', () => {
  const xml = `<domainCapabilities><devices>
    <video supported='yes'><enum name='modelType'><value>vga</value><value>virtio</value></enum></video>
    <graphics supported='yes'><enum name='type'><value>vnc</value></enum></graphics>
    <tpm supported='no'/></devices></domainCapabilities>`
  assert.deepEqual(
    [...deviceModels(xml)],
    [
      ['video', ['vga', 'virtio']],
      ['graphics', ['vnc']],
      ['tpm', []],
    ],
  )
  assert.equal(deviceModels('<domainCapabilities/>').size, 0)
})

test('networks: isolated without a forward, nat without a mode', () => {
  const forward = (inner: string) =>
    networkFrom(`<network><name>n</name>${inner}<bridge name='virbr0'/></network>`).forward
  assert.equal(forward(''), 'isolated')
  assert.equal(forward('<forward/>'), 'nat')
  assert.equal(forward("<forward mode='bridge'/>"), 'bridge')
  const { bridge, portgroups } = networkFrom(
    "<network><bridge name='br0'/><portgroup name='a' default='yes'/><portgroup name='b'/></network>",
  )
  assert.deepEqual([bridge, portgroups], ['br0', ['a', 'b']])
})

test('pools: their folder without a slash behind it', () => {
  assert.deepEqual(poolFrom("<pool type='dir'><target><path>/srv/images/</path></target></pool>"), {
    type: 'dir',
    path: '/srv/images',
  })
  assert.deepEqual(poolFrom("<pool type='dir'><target><path>/</path></target></pool>"), { type: 'dir', path: '/' })
  assert.deepEqual(poolFrom("<pool type='rbd'><source/></pool>"), { type: 'rbd', path: undefined })
})

import assert from 'node:assert/strict'
import { relative } from 'node:path'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { runs } from '../../test/arbitraries.ts'
import { hostId, isId, siteId, vmId } from '../core/ids.ts'
import {
  configFile,
  gatewayAddress,
  gatewayNamespace,
  guestFolder,
  hostAddress,
  hostNamespace,
  labFolder,
  prefixOf,
  relaySocket,
  serialLog,
  siteSubnet,
  transitAddress,
  transitMac,
  underlayAddress,
  vmsFolder,
  wanNamespace,
} from './lab-names.ts'

/** As lab-spec.ts allows them. */
const arbLab = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,15}$/)
const arbName = fc.string({ minLength: 1, maxLength: 12 }).filter(isId)

test('everything with a name outside the lab’s folder begins with the lab’s prefix', () => {
  fc.assert(
    fc.property(arbLab, arbName, (lab, name) => {
      for (const made of [hostNamespace(lab, hostId(name)), gatewayNamespace(lab, siteId(name)), wanNamespace(lab)])
        assert.ok(made.startsWith(prefixOf(lab)) && made.startsWith('lb.'), made)
    }),
    runs(300),
  )
})

/** `lab down` removes every namespace that begins with the prefix. */
test('nothing of one lab begins with the prefix of another, also where one lab’s name begins with the other’s', () => {
  const apart = (a: string, b: string, name: string): void => {
    for (const made of [hostNamespace(b, hostId(name)), gatewayNamespace(b, siteId(name)), wanNamespace(b)])
      assert.ok(!made.startsWith(prefixOf(a)), `${made} of lab ${b} looks like one of lab ${a}`)
  }
  fc.assert(
    fc.property(arbLab, arbLab, arbName, (a, b, name) => {
      fc.pre(a !== b)
      apart(a, b, name)
    }),
    runs(300),
  )
  apart('demo', 'demo-2', 'a-1')
})

test('a host may have any name: none is taken for the gateway of a site, or for the WAN', () => {
  for (const name of ['wan', 'gw-a', 'a-1'])
    for (const other of [wanNamespace('demo'), gatewayNamespace('demo', siteId('a'))])
      assert.notEqual(hostNamespace('demo', hostId(name)), other, `a host named ${name}`)
})

test('different hosts of a lab have different namespaces and folders', () => {
  fc.assert(
    fc.property(arbLab, arbName, arbName, (lab, a, b) => {
      fc.pre(a !== b)
      assert.notEqual(hostNamespace(lab, hostId(a)), hostNamespace(lab, hostId(b)))
      assert.notEqual(vmsFolder('/labs', lab, hostId(a)), vmsFolder('/labs', lab, hostId(b)))
    }),
    runs(300),
  )
})

/** The most a lab may have: 200 sites of 200 hosts. */
const arbNumber = fc.integer({ min: 1, max: 200 })
const isAddress = (text: string): boolean =>
  text.split('.').length === 4 && text.split('.').every(part => /^\d+$/.test(part) && Number(part) <= 255)

test('every address of the largest lab is an address, and no two are the same', () => {
  const all = new Set<string>()
  let made = 0
  const add = (address: string): void => {
    assert.ok(isAddress(address), address)
    all.add(address)
    made += 1
  }
  for (let site = 1; site <= 200; site += 1) {
    for (let host = 1; host <= 200; host += 1) add(hostAddress(site, host))
    add(gatewayAddress(site))
    add(underlayAddress(site, 'gateway'))
    add(underlayAddress(site, 'wan'))
    add(transitAddress(site))
  }
  assert.equal(all.size, made)
})

test('hosts and their gateway are in the subnet of their site', () => {
  fc.assert(
    fc.property(arbNumber, arbNumber, (site, host) => {
      const net = siteSubnet(site).replace(/0\/24$/, '')
      assert.ok(hostAddress(site, host).startsWith(net) && gatewayAddress(site).startsWith(net))
    }),
    runs(100),
  )
})

test('each site has its own hardware address on the WAN, a local one of six bytes', () => {
  const macs = new Set(Array.from({ length: 200 }, (_, n) => transitMac(n + 1)))
  assert.equal(macs.size, 200)
  for (const mac of macs) assert.match(mac, /^02(:[0-9a-f]{2}){5}$/)
  assert.equal(transitMac(200), '02:4c:42:00:00:c8')
})

test('a lab’s files lie in its folder, a guest’s console in the guest’s', () => {
  fc.assert(
    fc.property(arbLab, arbName, arbName, (lab, host, vm) => {
      const root = '/var/lib/lifeboat/labs'
      const home = labFolder(root, lab)
      const files = [
        relaySocket(root, lab),
        configFile(root, lab),
        vmsFolder(root, lab, hostId(host)),
        guestFolder(root, lab, hostId(host), vmId(vm)),
        serialLog(root, lab, hostId(host), vmId(vm)),
      ]
      for (const file of files) assert.ok(!relative(home, file).startsWith('..') && relative(home, file) !== '', file)
      assert.equal(new Set(files).size, files.length)
      assert.equal(serialLog(root, lab, hostId(host), vmId(vm)), `${home}/hosts/${host}/${vm}/serial.log`)
    }),
    runs(300),
  )
})

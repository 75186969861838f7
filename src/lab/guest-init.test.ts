import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { guestInit, tickPattern } from './guest-init.ts'

test('a tick is its number and the uptime, with or without a return', () => {
  assert.deepEqual([...(tickPattern.exec('LB tick 12 34.56') ?? [])].slice(1), ['12', '34.56'])
  assert.deepEqual([...(tickPattern.exec('LB tick 1 0.07\r') ?? [])].slice(1), ['1', '0.07'])
})

test('half a tick, or more than one, is none', () => {
  for (const line of [
    '',
    'LB tick',
    'LB tick 1',
    'LB tick 1 ',
    'LB tick  1 2.0',
    'LB tick -1 2.0',
    'LB tick 1 2.0 ',
    'LB tick 1 2.0\r\r',
    ' LB tick 1 2.0',
    'LB tick 1 LB tick 2 3.0',
    'lb tick 1 2.0',
  ])
    assert.doesNotMatch(line, tickPattern, JSON.stringify(line))
})

test('what the guest prints is what the reader looks for', () => {
  const printed = /echo "(LB tick \$n \$up)"/.exec(guestInit)?.[1]
  assert.ok(printed !== undefined)
  assert.equal(tickPattern.exec(printed.replace('$n', '7').replace('$up', '12.34'))?.[1], '7')
})

test('the guest says when it is ready, and every error begins as its reader expects', () => {
  assert.match(guestInit, /^echo "LB ready \$fill MiB"$/m)
  for (const [said] of guestInit.matchAll(/echo "LB [a-z]+/g))
    assert.match(said, /^echo "LB (tick|ready|error|disk|written)$/)
})

test('every word of the kernel command line that the guest reads has a value when it is not given', () => {
  for (const name of ['fill', 'hot', 'period', 'cold', 'disks', 'check'])
    assert.match(guestInit, new RegExp(String.raw`"\$\{${name}:=\d+\}"`), name)
})

test('the guest’s program is a shell script that parses, with no trace of the template it was written in', () => {
  assert.ok(guestInit.startsWith('#!/bin/busybox sh\n'))
  assert.doesNotMatch(guestInit, /\\\$|undefined/)
  const { status, stderr } = spawnSync('sh', ['-n'], { input: guestInit, encoding: 'utf8', timeout: 10_000 })
  assert.equal(stderr, '')
  assert.equal(status, 0)
})

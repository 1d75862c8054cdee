// The exclude list of a capture.
import assert from 'node:assert/strict'
import test from 'node:test'
import { buildExcludes, DEFAULT_EXCLUDES, toMember } from '../../../src/capture/excludes.ts'

const NONE = { useDefaults: false, rules: [], mountPoints: ['/'], paths: [] }

test('buildExcludes() adds lost+found of every file system to the defaults', () => {
  const list = buildExcludes({ ...NONE, useDefaults: true, mountPoints: ['/', '/srv'] })
  const lost = ['- /lost+found/', '- /srv/lost+found/']
  assert.deepEqual(list, [...DEFAULT_EXCLUDES.map((pattern) => `- ${pattern}`), ...lost])
})

test('buildExcludes() puts what is never captured first, then the user, then the defaults', () => {
  const paths = [{ path: '/swapfile', contentOnly: false }]
  const rules = ['+ /tmp/keep', '- *.iso']
  const list = buildExcludes({ ...NONE, useDefaults: true, rules, paths })
  assert.deepEqual(list.slice(0, 4), ['- /swapfile', ...rules, '- /proc/*'])
})

test('buildExcludes() takes paths literally, whatever characters they hold', () => {
  const paths = [
    { path: '/data [1]*?', contentOnly: false },
    { path: '/mnt/again', contentOnly: true },
  ]
  assert.deepEqual(buildExcludes({ ...NONE, paths }), ['- /data \\[1]\\*\\?', '- /mnt/again/*'])
})

test('toMember() makes the names that our archives hold', () => {
  assert.equal(toMember('/'), '.')
  assert.equal(toMember('/srv'), './srv')
})

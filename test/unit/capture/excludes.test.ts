// The exclude list of a capture.
import assert from 'node:assert/strict'
import test from 'node:test'
import { buildExcludes, DEFAULT_EXCLUDES, toMember } from '../../../src/capture/excludes.ts'

const NONE = { useDefaults: false, patterns: [], mountPoints: ['/'], paths: [] }

test('buildExcludes() adds lost+found of every file system to the defaults', () => {
  const list = buildExcludes({ ...NONE, useDefaults: true, mountPoints: ['/', '/srv'] })
  assert.deepEqual(list, [...DEFAULT_EXCLUDES, '/lost+found', '/srv/lost+found'])
})

test('buildExcludes() reads user patterns with and without a leading slash or dot', () => {
  const patterns = ['/var/cache/*', './opt', 'home/*/.cache', '//x']
  const expected = ['/var/cache/*', '/opt', '/home/*/.cache', '/x']
  assert.deepEqual(buildExcludes({ ...NONE, patterns }), expected)
})

test('buildExcludes() takes paths literally, whatever characters they hold', () => {
  const paths = [
    { path: '/data [1]*?', contentOnly: false },
    { path: '/mnt/again', contentOnly: true },
  ]
  assert.deepEqual(buildExcludes({ ...NONE, paths }), ['/data \\[1\\]\\*\\?', '/mnt/again/*'])
})

test('toMember() makes the names that our archives hold', () => {
  assert.equal(toMember('/'), '.')
  assert.equal(toMember('/srv'), './srv')
})

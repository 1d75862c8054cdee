// Where web servers have the files of a torrent.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSiError } from '../../../src/core/core.ts'
import { fileUrl, parseWebSeed } from '../../../src/torrent/torrent.ts'

const MANY = { name: 'web 1', isSingleFile: false }
const SINGLE = { name: 'a b.iso', isSingleFile: true }
const FILE = { path: ['dir', 'ü#?%.bin'] }

const urlOf = (...args: Parameters<typeof fileUrl>) => fileUrl(...args).href

test('fileUrl() appends the name of the torrent to a URL that ends in a slash', () => {
  assert.equal(urlOf('http://m/pub/', MANY, FILE), 'http://m/pub/web%201/dir/%C3%BC%23%3F%25.bin')
  assert.equal(urlOf('http://m', MANY, { path: ['f'] }), 'http://m/web%201/f')
  assert.equal(urlOf('https://m:1/x/', SINGLE, { path: ['a b.iso'] }), 'https://m:1/x/a%20b.iso')
})

test('fileUrl() takes any other URL for the torrent itself', () => {
  assert.equal(urlOf('http://m/images/web/1', MANY, { path: ['f'] }), 'http://m/images/web/1/f')
  assert.equal(urlOf('http://m/other.iso', SINGLE, { path: ['a b.iso'] }), 'http://m/other.iso')
})

test('fileUrl() keeps user, password and query, and drops the fragment', () => {
  const url = urlOf('http://u:p@m/a%20b/?key=1#x', MANY, { path: ['f'] })
  assert.equal(url, 'http://u:p@m/a%20b/web%201/f?key=1')
})

test('fileUrl() lets no name leave its folder', () => {
  const hostile = { name: '%2e%2e', isSingleFile: false }
  assert.equal(
    urlOf('http://m/a/', hostile, { path: ['..%2f', '\\'] }),
    'http://m/a/%252e%252e/..%252f/%5C',
  )
})

test('parseWebSeed() refuses what is no http URL', () => {
  for (const text of ['', 'ftp://m/x', 'm/x', 'file:///etc/passwd', 'javascript:1']) {
    assert.throws(
      () => parseWebSeed(text),
      (error) => isSiError(error, 'ERR_SI_USAGE'),
    )
  }
})

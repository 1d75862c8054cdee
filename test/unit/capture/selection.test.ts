// From find's records to the names that tar is given.
import assert from 'node:assert/strict'
import test from 'node:test'
import { FileListBuilder, type FileList } from '../../../src/capture/file-list.ts'
import { createFilter } from '../../../src/capture/filter-rules.ts'
import { selectFiles, type Selection } from '../../../src/capture/selection.ts'

/** Depth, type, size, blocks, inode, links, name. */
type Row = readonly [number, string, number, number, number, number, string]

function listOf(rows: readonly Row[], more: readonly Row[] = []): FileList {
  const builder = new FileListBuilder(['/', '/srv/x'])
  const record = ([depth, type, size, blocks, inode, links, name]: Row) =>
    `${depth} ${type} ${size} ${blocks} 1 ${inode} ${links} 1600000000.5 ${name}\0`
  const second = more.length === 0 ? '' : `@\0${more.map(record).join('')}`
  const text = `@\0${rows.map(record).join('')}${second}=\0`
  for (const byte of Buffer.from(text, 'latin1')) builder.push(Buffer.of(byte))
  const list = builder.finish()
  assert.ok(list !== undefined)
  return list
}

function namesOf(selection: Selection): string[] {
  return Buffer.concat([...selection.names()])
    .toString('latin1')
    .split('\0')
    .slice(0, -1)
}

const ROOT: Row = [0, 'd', 4096, 8, 1, 5, '.']

test('selectFiles() sorts names by bytes, folders before their content', () => {
  const list = listOf([
    ROOT,
    [1, 'd', 4096, 8, 2, 2, 'b'],
    [2, 'f', 1, 8, 3, 1, '\xff'],
    [2, 'f', 1, 8, 4, 1, 'z'],
    [1, 'f', 1, 8, 5, 1, 'b.c'],
    [1, 'f', 1, 8, 6, 1, 'a\nb'],
  ])
  const names = namesOf(selectFiles(list, createFilter([])))
  assert.deepEqual(names, ['.', './a\nb', './b', './b/z', './b/\xff', './b.c'])
})

test('selectFiles() counts what each rule keeps out, content of folders included', () => {
  const list = listOf([
    ROOT,
    [1, 'd', 4096, 8, 2, 2, 'tmp'],
    [2, 'f', 100, 8, 3, 1, 'x'],
    [1, 'f', 5000, 16, 4, 1, 'a.iso'],
    [1, 'f', 9_000_000_000, 8, 5, 1, 'sparse'],
    [1, 's', 0, 0, 6, 1, 'socket'],
  ])
  const selection = selectFiles(list, createFilter(['- /tmp/', '+ /a*', '- *.iso', '- /x']))
  assert.deepEqual(selection.captured, { files: 3, bytes: 5000 + 4096 })
  assert.deepEqual(selection.excluded, [{ rule: '- /tmp/', files: 2, bytes: 100 }])
  assert.deepEqual([selection.socketCount, selection.sockets], [1, ['/socket']])
})

test('selectFiles() counts the data of one file once and links nodes to their first name', () => {
  const list = listOf([
    ROOT,
    [1, 'p', 0, 0, 9, 3, 'z-fifo'],
    [1, 'p', 0, 0, 9, 3, 'a-fifo'],
    [1, 'p', 0, 0, 9, 3, 'm-fifo'],
    [1, 'f', 512, 8, 7, 2, 'one'],
    [1, 'f', 512, 8, 7, 2, 'two'],
  ])
  const selection = selectFiles(list, createFilter(['- a-fifo', '- one']))
  assert.deepEqual(selection.captured, { files: 4, bytes: 512 })
  assert.deepEqual([...selection.nodeLinks], [['z-fifo', 'm-fifo']])
})

test('selectFiles() puts the content of mount points where they are', () => {
  const srv: Row[] = [
    [1, 'd', 0, 0, 2, 2, 'srv'],
    [2, 'd', 0, 0, 3, 2, 'x'],
    [1, 'f', 1, 8, 4, 1, 'zz'],
  ]
  const list = listOf(
    [ROOT, ...srv],
    [
      [0, 'd', 0, 0, 2, 2, 'x'],
      [1, 'f', 1, 8, 5, 1, 'file'],
    ],
  )
  const names = namesOf(selectFiles(list, createFilter([])))
  assert.deepEqual(names, ['.', './srv', './srv/x', './srv/x/file', './zz'])
})

test('selectFiles() leaves paths beyond 4095 bytes to tar, and tells it what stays out', () => {
  const folder = 'd'.repeat(250)
  const rows: Row[] = [ROOT]
  for (let depth = 1; depth <= 18; depth++) rows.push([depth, 'd', 0, 0, depth + 1, 2, folder])
  const deepest: Row[] = [
    [19, 'f', 1, 8, 90, 1, 'in'],
    [19, 'f', 1, 8, 91, 1, 'out'],
    [1, 'f', 1, 8, 92, 1, 'last'],
  ]
  const selection = selectFiles(listOf([...rows, ...deepest]), createFilter(['- out']))
  const [deep] = selection.deep
  assert.equal(selection.deep.length, 1)
  assert.ok(deep !== undefined && deep.length <= 4095 && deep.length + 256 > 4095)
  const names = namesOf(selection)
  assert.equal(names.at(-1), './last')
  assert.equal(names.length, 1 + (deep.length - 1) / 251 - 1 + 1)
  assert.deepEqual(selection.deepExcluded.map(String), [`.${`/${folder}`.repeat(18)}/out`])
})

test('FileListBuilder has no list when find did not come to its end', () => {
  const builder = new FileListBuilder(['/'])
  builder.push(Buffer.from('@\x000 d 0 0 1 1 2 1600000000 .\0'))
  assert.equal(builder.finish(), undefined)
})

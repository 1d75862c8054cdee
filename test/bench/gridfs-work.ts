// `node gridfs-work.ts VERB FOLDER COUNT`: file work for the gridfs bench in a process of its own, by
// synchronous calls as an ordinary program makes them. Prints how many seconds it took.
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { randomFillSync } from 'node:crypto'
import { join } from 'node:path'
import { benchNames } from './gridfs-content.ts'

const [verb = '', folder = '', count = '0'] = process.argv.slice(2)
const names = benchNames(Number(count)).map((name) => join(folder, name))
const block = randomFillSync(Buffer.allocUnsafe(2 ** 20))

const work: Readonly<Record<string, () => void>> = {
  /** `folder` is the file; `count` is not used. */
  read() {
    const fd = openSync(folder, 'r')
    while (readSync(fd, block, 0, block.length, null) > 0);
    closeSync(fd)
  },
  /** `folder` is the file; `count` is in MiB. */
  write() {
    const fd = openSync(folder, 'w')
    for (let index = 0; index < Number(count); index += 1) writeWhole(fd)
    fsyncSync(fd)
    closeSync(fd)
  },
  create() {
    for (const name of names) closeSync(openSync(name, 'wx'))
  },
  stat() {
    for (const name of names) lstatSync(name)
  },
  unlink() {
    for (const name of names) unlinkSync(name)
  },
  list() {
    const { status } = spawnSync('ls', ['-lR', folder], { stdio: ['ignore', 'ignore', 'inherit'] })
    if (status !== 0) throw new Error(`ls ended with status ${status}`)
  },
}

function writeWhole(fd: number): void {
  for (let done = 0; done < block.length;) done += writeSync(fd, block, done)
}

if (verb === 'create') mkdirSync(folder)
const startMs = performance.now()
work[verb]?.()
console.log((performance.now() - startMs) / 1000)

// Reads the manifest named on the command line as every command does: each entry is checked and handed over.
import { createReadStream } from 'node:fs'
import { readManifest } from '../../src/image/image.ts'

const [path = ''] = process.argv.slice(2)
let count = 0
await readManifest(createReadStream(path), () => count++)
console.log(count)

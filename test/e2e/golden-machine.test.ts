// A golden client that is a machine of its own: it runs in QEMU, started by UEFI, is captured over ssh from another host of its network,
// and what its image holds is compared with its disk. Needs root; a minute and a half without hardware assistance.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/host/host.ts'
import * as lab from '../lab/lab.ts'
import { captureGolden, startGoldenMachine, switchOff } from './lab-golden.ts'
import { findDifferences, readDisk } from './lab-compare.ts'
import { createSite } from './lab-site.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
/** Restores an image without this program, as README.md says; arguments: the image, an empty folder. */
const RESTORE = `
mkdir "$2"
zstd -dc "$1" | tar --extract --xattrs --xattrs-include='*' --acls --numeric-owner -C "$2"
`

test('si-getimage captures a running machine over ssh, file for file', { skip }, async (t) => {
  await lab.withScope(async (scope) => {
    const site = await createSite(scope, (text) => t.diagnostic(text))
    const golden = await startGoldenMachine(site)
    await captureGolden(site, golden)
    await switchOff(site, golden)
    const tree = join(scope.directory, 'restored')
    const pack = site.below('repository/images/golden01/latest/image.tar.zst')
    await run('sh', ['-euc', RESTORE, 'sh', pack, tree], { signal: scope.signal })
    const disk = await readDisk(site, { name: 'golden01', ...golden.disk })
    const restored = { tree, efi: join(tree, 'boot/efi') }
    assert.deepEqual(await findDifferences(site, disk, restored), [])
  })
})

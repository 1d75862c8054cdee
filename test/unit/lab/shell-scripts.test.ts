import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../../..')
const hasShellcheck = spawnSync('shellcheck', ['--version']).status === 0
const skip = hasShellcheck || process.env['CI'] === 'true' ? false : 'needs shellcheck'

const scripts = [
  ...['src/cli/si', 'test/lab/setup.sh', '.ci/run'],
  ...globSync(['autoinstall/*.sh', 'examples/**/*.sh'], { cwd: root }),
]

for (const script of scripts) {
  test(`shellcheck finds nothing in ${script}`, { skip }, () => {
    const { status, stdout } = spawnSync('shellcheck', [join(root, script)], { encoding: 'utf8' })
    assert.equal(status, 0, stdout)
  })
}

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { checkSources } from '../../lab/architecture-rules.ts'

const check = (path: string, text: string) => checkSources([{ path, text }])

describe('checkSources()', () => {
  test('accepts imports of earlier doors and of the same folder', () => {
    const text = `
      import { SiError } from '../core/core.ts'
      import { run } from '../host/host.ts'
      export * from './pack.ts'
      import { readFile } from 'node:fs/promises'
      const entry = new URL('./piece-worker.ts', import.meta.url)`
    assert.deepEqual(check('src/image/image.ts', text), [])
  })

  const forbidden: readonly (readonly [string, string, string, string])[] = [
    ['a later folder', 'image', `import '../swarm/swarm.ts'`, 'image may not import swarm'],
    ['a later folder by type', 'core', `import type { A } from '../host/host.ts'`, 'core may not'],
    ['a later folder dynamically', 'image', `await import('../cli/cli.ts')`, 'image may not'],
    ['a later folder in a type', 'image', `let a: import('../cli/cli.ts').A`, 'image may not'],
    ['a later folder re-exported', 'host', `export * from '../image/image.ts'`, 'host may not'],
    ['a worker of a later folder', 'host', `new URL('../swarm/w.ts', import.meta.url)`, 'host may'],
    ['past a door', 'image', `import '../core/errors.ts'`, 'past the door core/core.ts'],
    ['outside of src', 'cli', `import '../../test/lab/lab.ts'`, 'outside of src'],
    ['child_process', 'deploy', `import { spawn } from 'node:child_process'`, 'only src/host'],
    ['child_process by require', 'cli', `require('child_process')`, 'only src/host'],
    ['koffi', 'image', `import koffi from 'koffi'`, 'only src/host'],
    ['a computed name', 'image', `await import(name)`, 'cannot be checked'],
    ['process as module', 'image', `import { exit } from 'node:process'`, 'only src/cli'],
  ]
  for (const [title, folder, text, expected] of forbidden) {
    test(`finds an import of ${title}`, () => {
      const violations = check(`src/${folder}/planted.ts`, `\n${text}\n`)
      assert.equal(violations.length, 1)
      assert.match(violations[0] ?? '', new RegExp(`^src/${folder}/planted.ts:2: .*${expected}`))
    })
  }

  const globals = [
    'process.exit(1)',
    'globalThis.process.exit(1)',
    `process['argv']`,
    'process.exitCode = 1',
    'const { stdout } = process',
    'const { stderr: out } = process',
    'const p = process',
    'console.log(1)',
  ]
  for (const text of globals) {
    test(`finds ${text} outside of src/cli`, () => {
      assert.equal(check('src/server/planted.ts', `${text}\n`).length, 1)
      assert.deepEqual(check('src/cli/planted.ts', `${text}\n`), [])
    })
  }

  test('accepts process.env and process.pid everywhere', () => {
    assert.deepEqual(check('src/host/a.ts', `process.env['A']; process.pid\n`), [])
  })

  test('finds names that say nothing, unknown folders and files outside of folders', () => {
    assert.equal(check('src/image/utils.ts', '').length, 1)
    assert.equal(check('test/helpers/a.test.ts', '').length, 1)
    assert.equal(check('src/stuff/a.ts', '').length, 1)
    assert.equal(check('src/a.ts', '').length, 1)
  })

  test('finds a file of 351 lines and accepts one of 350', () => {
    assert.deepEqual(check('test/unit/a.test.ts', '\n'.repeat(350)), [])
    assert.equal(check('test/unit/a.test.ts', '\n'.repeat(351)).length, 1)
  })
})

test('the architecture test fails on a file with a forbidden import and passes without', (t) => {
  const root = join(import.meta.dirname, '../../..')
  const copy = mkdtempSync(join(tmpdir(), 'si-architecture-'))
  t.after(() => rmSync(copy, { recursive: true }))
  for (const path of ['package.json', 'src/core', 'test/architecture.test.ts', 'test/lab']) {
    cpSync(join(root, path), join(copy, path), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  const runTest = () => {
    const args = ['--test', '--test-reporter=tap', 'test/architecture.test.ts']
    const env = { ...process.env, NODE_TEST_CONTEXT: undefined }
    return spawnSync(process.execPath, args, { cwd: copy, env, encoding: 'utf8' })
  }
  assert.equal(runTest().status, 0)
  writeFileSync(join(copy, 'src/core/planted.ts'), `export * from '../host/host.ts'\n`)
  const { status, stdout } = runTest()
  assert.equal(status, 1)
  assert.match(stdout, /src\/core\/planted\.ts:1: core may not import host/)
})

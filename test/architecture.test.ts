// The order of the folders, their doors, and what may occur only in one place, for the real tree.
// That a planted fault is found: test/unit/lab/architecture-rules.test.ts.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkSources } from './lab/architecture-rules.ts'

const root = join(import.meta.dirname, '..')

test('the sources keep to the folder order, the doors and the size limits', () => {
  const paths = globSync(['src/**/*.ts', 'test/**/*.ts', 'examples/**/*.ts'], { cwd: root })
  assert.ok(
    paths.some((path) => path.startsWith('src/')),
    'no source was found',
  )
  const files = paths.sort().map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
  assert.deepEqual(checkSources(files), [])
})

test('no compiled file lies beside its source', () => {
  assert.deepEqual(globSync('{src,test,examples}/**/*.js', { cwd: root }), [])
})

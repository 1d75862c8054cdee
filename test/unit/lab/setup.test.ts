// The set-up step with a dpkg-query, apt-get and id that only pretend.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

const script = join(import.meta.dirname, '../../lab/setup.sh')

/** All packages are installed, except those named in the file `missing`. */
const DPKG_QUERY = `
for name; do
  case $name in --*) continue ;; esac
  if grep -qx "$name" "$FAKE/missing"; then status=not-installed; else status=installed; fi
  echo "$status $name"
done`
const APT_GET = `echo "apt-get $*" >>"$FAKE/calls"; [ "$1" != install ] || : >"$FAKE/missing"`

function runSetup(t: TestContext, options: { missing: readonly string[]; uid: number }) {
  const folder = mkdtempSync(join(tmpdir(), 'si-setup-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const programs = { 'dpkg-query': DPKG_QUERY, 'apt-get': APT_GET, id: `echo ${options.uid}` }
  for (const [name, text] of Object.entries({ ...programs, systemctl: ':' })) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  writeFileSync(join(folder, 'missing'), options.missing.map((name) => `${name}\n`).join(''))
  writeFileSync(join(folder, 'calls'), '')
  const policy = join(folder, 'policy-rc.d')
  const env = { PATH: `${folder}:/usr/bin:/bin`, FAKE: folder, SI_SETUP_POLICY: policy }
  const { status, stdout, stderr } = spawnSync('sh', [script], { env, encoding: 'utf8' })
  const calls = readFileSync(join(folder, 'calls'), 'utf8').split('\n').filter(Boolean)
  return { status, stdout, stderr, calls }
}

test('setup.sh says nothing and changes nothing when all packages are there', (t) => {
  const result = runSetup(t, { missing: [], uid: 1000 })
  assert.deepEqual(result, { status: 0, stdout: '', stderr: '', calls: [] })
})

test('setup.sh without root names exactly what is missing and the command, and exits 1', (t) => {
  const result = runSetup(t, { missing: ['rsync', 'acl'], uid: 1000 })
  assert.equal(result.status, 1)
  assert.deepEqual(result.calls, [])
  assert.deepEqual(result.stderr.split('\n'), [
    'setup: missing Debian packages: acl rsync',
    'setup: install them with: sudo apt-get install --no-install-recommends acl rsync',
    '',
  ])
})

test('setup.sh as root updates the lists and installs exactly what is missing', (t) => {
  const result = runSetup(t, { missing: ['xfsprogs', 'zstd'], uid: 0 })
  assert.equal(result.status, 0, result.stderr)
  assert.deepEqual(result.calls, [
    'apt-get update --quiet',
    'apt-get install --yes --quiet --no-install-recommends xfsprogs zstd',
  ])
})

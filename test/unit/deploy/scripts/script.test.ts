// What is made of a script before it runs: its interpreter, its environment, the name of its file and log.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../../src/core/core.ts'
import type { DirectoryPlan } from '../../../../src/deploy/deploy.ts'
import { fileName } from '../../../../src/deploy/scripts/run-script.ts'
import { scriptEnvironment } from '../../../../src/deploy/scripts/script-environment.ts'
import { parseInterpreter } from '../../../../src/deploy/scripts/script.ts'

const interpreterOf = (text: string) => parseInterpreter({ name: 's', text })

for (const [text, interpreter] of [
  ['#!/bin/sh\necho\n', ['/bin/sh']],
  ['#!/bin/sh -eu\n', ['/bin/sh', '-eu']],
  ['#! \t/usr/bin/env \t python3 -X dev \n', ['/usr/bin/env', 'python3 -X dev']],
  ['#!/bin/sh', ['/bin/sh']],
  ['echo no first line\n', ['/bin/sh']],
  ['\n#!/bin/bash\n', ['/bin/sh']],
  ['', ['/bin/sh']],
] as const) {
  test(`parseInterpreter() reads ${JSON.stringify(text)} as the kernel does`, () => {
    assert.deepEqual(interpreterOf(text), interpreter)
  })
}

for (const [what, text, why] of [
  ['line ends of DOS', '#!/bin/sh\r\necho\r\n', /its lines end as those of DOS/],
  ['line ends of DOS without a first line', 'echo\r\n', /its lines end as those of DOS/],
  ['a program', '\x7fELF\x02\x01\x01\0\0\0', /it is no text/],
  ['an interpreter without a path', '#!python3\n', /names "python3", which is no absolute path/],
  ['no interpreter', '#!\necho\n', /names no interpreter/],
] as const) {
  test(`parseInterpreter() refuses ${what}`, () => {
    assert.throws(() => interpreterOf(text), { code: 'ERR_SI_CONFIGURATION', message: why })
  })
}

test('parseInterpreter() gives an absolute program and at most one argument, or refuses', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, isMarked) => {
      try {
        const words = interpreterOf(isMarked ? `#!${text}` : text)
        assert.ok(words[0]?.startsWith('/') === true && words.length <= 2)
      } catch (error) {
        assert.ok(isSiError(error, 'ERR_SI_CONFIGURATION'))
      }
    }),
  )
})

const PLAN: DirectoryPlan = {
  ...{ kind: 'root', directory: '/mnt/tree', freeBytes: 0, resumes: false, notes: [] },
  image: { name: 'web', version: '3', contentBytes: 0, entryCount: 0 },
}
const FACTS = { header: PLAN.image, hostName: null, firmware: 'none', plan: PLAN } as const

test('scriptEnvironment() sets every variable, empty where nothing is known', () => {
  const script = { stage: 'pre-install', name: 'a/b.sh' } as const
  const own = { parameters: { rack: '7', os_name: '' }, groups: [], server: '' }
  const environment = scriptEnvironment(script, FACTS, own)
  const set = Object.entries(environment).filter(([name]) => name.startsWith('SI_'))
  assert.deepEqual(Object.fromEntries(set), {
    ...{ SI_STAGE: 'pre-install', SI_SCRIPT: 'a/b.sh', SI_HOST_NAME: '', SI_GROUPS: '' },
    ...{ SI_IMAGE: 'web', SI_IMAGE_VERSION: '3', SI_TARGET: '/mnt/tree', SI_DISKS: '' },
    ...{ SI_FIRMWARE: 'none', SI_SERVER: '', SI_PARAM_RACK: '7', SI_PARAM_OS_NAME: '' },
  })
})

test('scriptEnvironment() passes on nothing of the environment of the installing program', () => {
  process.env['SI_SECRET_OF_THIS_TEST'] = 'secret'
  try {
    const own = { parameters: {}, groups: [], server: '' }
    const environment = scriptEnvironment({ stage: 'post-install', name: 's' }, FACTS, own)
    assert.equal(Object.values(environment).includes('secret'), false)
  } finally {
    delete process.env['SI_SECRET_OF_THIS_TEST']
  }
})

test('fileName() is one plain part of a path, whatever the script is called', () => {
  assert.equal(fileName({ name: 'cluster/set-rack.sh' }), 'set-rack.sh')
  assert.equal(fileName({ name: '../..' }), 'script..')
  assert.equal(fileName({ name: '/' }), 'script')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      assert.match(fileName({ name }), /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,110}$/)
    }),
  )
})

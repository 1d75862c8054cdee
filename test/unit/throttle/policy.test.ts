import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import { NO_IO_LIMITS } from '../../../src/host/host.ts'
import { parsePolicy, placeProcess, type AccountRule } from '../../../src/throttle/throttle.ts'

test('parsePolicy() reads users, groups and cgroups with their rates', () => {
  const text = `# who            how much
user  root       unlimited
group students   5MB/s joint   # all of them
group professors read 50MB/s write 20MB/s,200iops
cgroup /batch    100iops
`
  const [root, students, professors, batch] = parsePolicy(text, 'policy')
  assert.deepEqual(root, {
    ...{ line: 2, kind: 'user', name: 'root', limits: NO_IO_LIMITS, isJoint: false },
  })
  const both = { readBytesPerSecond: 5e6, writeBytesPerSecond: 5e6 }
  assert.deepEqual(students?.limits, { ...NO_IO_LIMITS, ...both })
  assert.equal(students.isJoint, true)
  assert.deepEqual(professors?.limits, {
    ...{ readBytesPerSecond: 50e6, writeBytesPerSecond: 20e6 },
    ...{ readsPerSecond: Infinity, writesPerSecond: 200 },
  })
  assert.equal(professors.isJoint, false)
  assert.deepEqual(
    [batch?.kind, batch?.name, batch?.limits.readsPerSecond],
    ['cgroup', '/batch', 100],
  )
})

test('parsePolicy() names every fault with its line and what was meant', () => {
  const text = `usr alice 5MB/s
user
user alice
user alice 5 bananas
group students 5MB/s jointly
user bob 5MB/s joint
cgroup batch 5MB/s
cgroup /a/../b 5MB/s
user carol 1MB/s
user carol 2MB/s
group g read 1MB/s read 2MB/s
`
  const error = (() => {
    try {
      parsePolicy(text, 'policy')
    } catch (thrown) {
      return thrown
    }
    return undefined
  })()
  assert.ok(isSiError(error, 'ERR_SI_CONFIGURATION'))
  const lines = error.message.split('\n').slice(1)
  assert.equal(lines[0], '  line 1: unknown word "usr" (did you mean user?)')
  assert.deepEqual(
    lines.map((line) => Number(/line (\d+)/.exec(line)?.[1])),
    [1, 2, 3, 4, 5, 6, 7, 8, 10, 11],
  )
  assert.match(error.message, /line 10: user carol stands in line 9 already, which holds/)
})

test('parsePolicy() ends with rules or ERR_SI_CONFIGURATION whatever it reads', () => {
  const word = fc.constantFrom(
    'user',
    'group',
    'cgroup',
    '/x',
    '5MB/s',
    'joint',
    'read',
    '0',
    '#',
    '\n',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string())), (words) => {
      try {
        parsePolicy(words.join(' '), 'policy')
      } catch (error) {
        assert.ok(isSiError(error, 'ERR_SI_CONFIGURATION'), String(error))
      }
    }),
  )
})

const limits = { ...NO_IO_LIMITS, readBytesPerSecond: 1000 }
const rule = (kind: 'user' | 'group', id: number, how: Partial<AccountRule> = {}): AccountRule => ({
  ...{ line: 1, kind, name: `${id}`, id, limits, isJoint: false },
  ...how,
})

test('placeProcess() takes the first rule that fits: user, real group, or membership', () => {
  const student = { uid: 1001, gid: 1001, groups: [50] }
  const joint = rule('group', 50, { isJoint: true })
  const group = '/swarmimager/policy-group-50'
  assert.deepEqual(placeProcess(student, [joint]), { name: group, limits })
  assert.deepEqual(placeProcess(student, [rule('group', 50)]), {
    ...{ name: `${group}-user-1001`, limits },
  })
  const unlimited = rule('user', 1001, { limits: NO_IO_LIMITS })
  assert.equal(placeProcess(student, [unlimited, joint]), undefined)
  assert.deepEqual(placeProcess(student, [joint, unlimited]), { name: group, limits })
  assert.equal(placeProcess({ uid: 0, gid: 0, groups: [] }, [joint]), undefined)
})

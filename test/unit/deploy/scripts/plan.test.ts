// Scripts that cannot run are refused before anything is written.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EntryTableBuilder } from '../../../../src/deploy/entry-table-builder.ts'
import { PLAIN_FINISH } from '../../../../src/deploy/deploy.ts'
import { planFinish, type FinishFacts } from '../../../../src/deploy/finish/finish-plan.ts'

const FACTS: Omit<FinishFacts, 'scripts'> = {
  ...{ choices: PLAIN_FINISH, imageName: 'data', table: new EntryTableBuilder().build() },
  ...{ target: 'root', machine: 'bios' },
}

test('planFinish() refuses post-install scripts for an image that is no system', () => {
  assert.throws(() => planFinish({ ...FACTS, scripts: [{ name: 'a.sh', text: '' }] }), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message: 'Cannot run post-install scripts in image "data": it has no /etc, so it is no system',
  })
  assert.deepEqual(planFinish({ ...FACTS, scripts: [] }).steps, [])
})

// The menu of a medium; GRUB's own checker reads it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from '../../../src/host/host.ts'
import { grubMenu, type BootFacts } from '../../../src/netboot/netboot.ts'

const FACTS: BootFacts = {
  ...{ image: 'web', version: '3', kernel: '6.1', madeAt: '2026-01-02T03:04:05.000Z' },
  parameters: 'si.disk=/dev/vda quiet',
}
const server = 'http://10.0.0.1:8080'

test('grubMenu() writes what GRUB can read', async () => {
  const { stderr } = await run('grub-script-check', ['--verbose'], {
    input: grubMenu({ facts: FACTS, server }),
  })
  assert.equal(stderr, '')
})

test('grubMenu() puts the parameters of the medium behind its own', () => {
  const menu = grubMenu({ facts: FACTS, server })
  assert.match(
    menu,
    /^ {2}linux \/boot\/vmlinuz 'si\.server=http:\/\/10\.0\.0\.1:8080' 'si\.image=web' .* 'quiet' \$parameters$/m,
  )
})

test('grubMenu() uses the serial port that the kernel is told', () => {
  const facts = { ...FACTS, parameters: 'console=tty0 console=ttyS1,9600' }
  assert.match(grubMenu({ facts, server }), /serial --unit=1 --speed=9600/)
})

test('grubMenu() lets no parameter end its word', async () => {
  for (const word of ['a;reboot', '$root', '{', '"', 'a\\']) {
    const text = grubMenu({ facts: { ...FACTS, parameters: word }, server })
    assert.ok(text.includes(` '${word}' $parameters`), word)
    await run('grub-script-check', [], { input: text })
  }
  const facts = { ...FACTS, parameters: "a'reboot" }
  assert.throws(() => grubMenu({ facts, server }), { code: 'ERR_SI_CONFIGURATION' })
})

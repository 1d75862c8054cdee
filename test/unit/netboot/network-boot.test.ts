// Scripts for iPXE and the configuration of dnsmasq; dnsmasq itself judges the latter.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { run } from '../../../src/host/host.ts'
import {
  firstScript,
  formatDnsmasq,
  installScript,
  localScript,
  parseDhcpRange,
  waitScript,
  type BootFacts,
} from '../../../src/netboot/netboot.ts'

const FACTS: BootFacts = {
  ...{ image: 'web', version: '3', kernel: '6.1', madeAt: '2026-01-02T03:04:05.000Z' },
  parameters: 'si.disk=/dev/vda',
}
const SERVER = 'http://10.0.0.1:8080'

test('installScript() loads kernel and initramfs and says who the machine is', () => {
  const script = installScript({ server: SERVER, facts: FACTS, host: 'node01', image: undefined })
  assert.match(script, /^#!ipxe\n/)
  assert.match(
    script,
    /^kernel http:\/\/10\.0\.0\.1:8080\/boot\/web\/vmlinuz initrd=initrd\.img .*si\.host=node01/m,
  )
  assert.match(
    script,
    /^initrd --name initrd\.img http:\/\/10\.0\.0\.1:8080\/boot\/web\/initrd\.img/m,
  )
  assert.match(script, / console=ttyS0,115200 si\.disk=\/dev\/vda \|\| goto failed$/m)
})

test('installScript() leaves consoles to whoever names one', () => {
  const facts = { ...FACTS, parameters: 'console=ttyS1' }
  const script = installScript({ server: SERVER, facts, host: undefined, image: 'web' })
  assert.doesNotMatch(script, /console=tty0/)
})

test('installScript() refuses words that would be commands', () => {
  for (const host of ['a b', 'a\nexit', '${x}', 'a||reboot', '']) {
    const options = { server: SERVER, facts: FACTS, host, image: undefined }
    assert.throws(() => installScript(options), { code: 'ERR_SI_CONFIGURATION' })
  }
})

test('waitScript() lets no text become a command', () => {
  fc.assert(
    fc.property(fc.string(), (reason) => {
      const lines = waitScript(reason).split('\n')
      assert.equal(lines.length, 5)
      assert.doesNotMatch(lines[1] ?? '', /[$|&;]/)
    }),
  )
})

test('firstScript() goes on asking, and ends when the answer was followed', () => {
  const script = firstScript(SERVER)
  assert.match(
    script,
    /chain --autofree http:\/\/10\.0\.0\.1:8080\/boot\/ipxe\?mac=\S+ && goto leave \|\|/,
  )
  assert.match(script, /goto again\n:leave\n/)
})

test('firstScript() fails under UEFI when the answer was followed, so that the disk is next', () => {
  assert.match(firstScript(SERVER), /:leave\niseq \${platform} efi && exit 1 \|\|\nexit 0\n$/)
})

test('localScript() knows both kinds of firmware', () => {
  assert.match(
    localScript('node01'),
    /platform} efi && exit \|\|\nsanboot --no-describe --drive 0x80/,
  )
})

test('localScript() shows the address of a machine that nobody named', () => {
  assert.match(
    localScript(undefined),
    /^echo SwarmImager: \$\{netX\/mac\} is not in cluster\.yaml: booting/m,
  )
})

test('parseDhcpRange() reads a range within one network', () => {
  const range = { first: '10.0.0.100', last: '10.0.0.200', netmask: '255.255.255.0' }
  assert.deepEqual(parseDhcpRange('10.0.0.100-10.0.0.200/24'), range)
})

test('parseDhcpRange() refuses what is no range', () => {
  for (const text of [
    '10.0.0.9-10.0.0.1/24',
    '10.0.0.1-10.0.1.9/24',
    '10.0.0.1',
    '10.0.0.300-10.0.0.301/24',
    '',
  ]) {
    assert.throws(() => parseDhcpRange(text), { code: 'ERR_SI_USAGE' }, text)
  }
})

test('formatDnsmasq() writes what dnsmasq accepts, with addresses and as a proxy', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'si-dnsmasq-'))
  try {
    for (const range of [parseDhcpRange('10.0.0.100-10.0.0.200/24'), null]) {
      const file = join(directory, 'dnsmasq.conf')
      const text = formatDnsmasq({
        ...{ tftpDirectory: directory, range, address: '10.0.0.1' },
        ...{ router: '10.0.0.254', nameServers: ['10.0.0.1', '10.0.0.2'] },
      })
      await writeFile(file, text)
      const { stderr } = await run('dnsmasq', ['--test', `--conf-file=${file}`])
      assert.match(stderr, /syntax check OK/)
    }
  } finally {
    await rm(directory, { recursive: true })
  }
})

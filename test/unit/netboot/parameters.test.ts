// What may be said to si-autoinstall, and that nothing of it is silently ignored.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  inParameters,
  parameterTable,
  parseParameters,
  splitCommandLine,
} from '../../../src/netboot/netboot.ts'
import { bootInterface } from '../../../src/netboot/node/parameters.ts'

const parse = (commandLine: string, localConfiguration?: string) =>
  parseParameters({ commandLine, localConfiguration })

test('parseParameters() reads parameters among those of the kernel', () => {
  const { parameters, fault } = parse(
    'root=/dev/sda1 quiet si.server=http://10.0.0.1:8080/ si.image=web/3 si.shell si.dns=1.1.1.1,9.9.9.9',
  )
  assert.equal(fault, undefined)
  assert.equal(parameters.server, 'http://10.0.0.1:8080')
  assert.equal(parameters.image, 'web/3')
  assert.equal(parameters.shell, true)
  assert.deepEqual(parameters.dns, ['1.1.1.1', '9.9.9.9'])
  assert.equal(parameters.failure, 'reboot')
})

test('parseParameters() names an unknown parameter and the one that was meant', () => {
  const { fault } = parse('si.sever=http://10.0.0.1:8080')
  assert.match(
    fault?.message ?? '',
    /si\.sever: unknown parameter "sever": did you mean "server"\?/,
  )
})

test('parseParameters() names every fault with its place', () => {
  const { fault } = parse(
    'si.ip=10.0.0.7 si.after=later',
    'disk=sda\n\n# a comment\nno assignment\n',
  )
  const text = fault?.message ?? ''
  assert.match(text, /kernel parameter si\.ip: ip=10\.0\.0\.7: it must be dhcp or an address/)
  assert.match(text, /kernel parameter si\.after: after=later: it must be one of reboot, poweroff/)
  assert.match(text, /local\.cfg line 1: disk=sda: it must be the path of a disk/)
  assert.match(text, /local\.cfg line 4: is not NAME=VALUE/)
})

test('inParameters() says what the options of si-deploy are called on the kernel command line', () => {
  const remedies = {
    'Correct the rule in the layout, or name the disks with --disk':
      'Correct the rule in the layout, or name the disks with si.disk=',
    'Give a layout file with --layout, or add --firmware none':
      'Give a layout file with layout in cluster.yaml, or add si.firmware=none',
    'or choose another --firmware': 'or choose another si.firmware=',
    'or add --no-finish': 'or add si.finish=no',
    'or add --allow-unsigned to use it all the same':
      'or add si.allow-unsigned=yes to use it all the same',
    'Have one issued: si-ca issue --role node': 'Have one issued: si-ca issue --role node',
  }
  const said = Object.keys(remedies).map(inParameters)
  assert.deepEqual(said, Object.values(remedies))
})

test('parseParameters() keeps what could be read when something is wrong', () => {
  const { parameters, fault } = parse('si.failure-delay=1s si.failure=poweroff si.nonsense=1')
  assert.notEqual(fault, undefined)
  assert.equal(parameters['failure-delay'], 1000)
  assert.equal(parameters.failure, 'poweroff')
})

test('parseParameters() lets the command line override local.cfg, and that the server', () => {
  const { parameters } = parseParameters({
    commandLine: 'si.rack=a',
    localConfiguration: 'rack="b"\nsi.disk=/dev/sdb',
    server: { rack: 'c', 'si.disk': '/dev/sdc', after: 'poweroff' },
  })
  assert.equal(parameters.rack, 'a')
  assert.equal(parameters.disk, '/dev/sdb')
  assert.equal(parameters.after, 'poweroff')
})

test('parseParameters() leaves names to scripts that the server gives without si.', () => {
  const parse = (server: Record<string, string>) => parseParameters({ commandLine: '', server })
  assert.equal(parse({ partition: 'batch' }).fault, undefined)
  assert.match(parse({ 'si.partition': 'batch' }).fault?.message ?? '', /unknown parameter/)
})

test('parseParameters() refuses a disk outside of /dev and a watchdog that bites at once', () => {
  const { fault } = parse('si.disk=/dev/../etc/passwd si.watchdog=1s')
  assert.match(fault?.message ?? '', /si\.disk.*si\.watchdog/)
})

test('splitCommandLine() gives back words that were joined, with quotes around blanks', () => {
  const word = fc.stringMatching(/^[a-z.=/ ]+$/)
  fc.assert(
    fc.property(fc.array(word), (words) => {
      const text = words.map((one) => `"${one}"`).join(' ')
      assert.deepEqual(splitCommandLine(text), words)
    }),
  )
})

test('parseParameters() survives any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (line, file) => {
      parse(`si.${line}`, file)
    }),
  )
})

test('bootInterface() reads the address as iPXE and pxelinux write it', () => {
  assert.equal(bootInterface('quiet BOOTIF=01-52-54-00-AB-cd-01 x'), '52:54:00:ab:cd:01')
  assert.equal(bootInterface('BOOTIF=52:54:00:ab:cd:01'), '52:54:00:ab:cd:01')
  assert.equal(bootInterface('BOOTIF=eth0'), undefined)
})

test('NETBOOT.md describes every parameter', async () => {
  const path = join(import.meta.dirname, '../../../src/netboot/NETBOOT.md')
  const text = await readFile(path, 'utf8')
  for (const [name, { description }] of Object.entries(parameterTable)) {
    assert.ok(text.includes(`| \`si.${name}\` | ${description} |`), `si.${name}`)
  }
})

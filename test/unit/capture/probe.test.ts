// The probe script and the parser of its output.
import assert from 'node:assert/strict'
import test from 'node:test'
import { createGoldenClient, sshArguments } from '../../../src/capture/golden-client.ts'
import { parseProbe } from '../../../src/capture/probe.ts'
import { probeScript } from '../../../src/capture/probe-script.ts'
import { run } from '../../../src/host/host.ts'

const CLIENT = { description: 'golden01', root: '/' }

const ANSWERS: Readonly<Record<string, string>> = {
  uid: '0\n',
  architecture: 'x86_64\n',
  kernel: '6.1.0-18-amd64\n',
  host: 'golden01\n',
  tar: 'tar (GNU tar) 1.34\nCopyright\n',
  'os-release': 'NAME="Debian"\nPRETTY_NAME="Debian \\"12\\""\n',
  fstab: '/dev/sda1 / ext4 defaults 0 1',
  mounts: '27 1 8:1 / / rw - ext4 /dev/sda1 rw\n',
  find: 'find (GNU findutils) 4.9.0\n',
}

test('parseProbe() reads the answers of a golden client', () => {
  const facts = parseProbe(CLIENT, '@m', output(ANSWERS))
  assert.equal(facts.host, 'golden01')
  assert.equal(facts.operatingSystem, 'Debian "12"')
  assert.equal(facts.kernel, '6.1.0-18-amd64')
  assert.deepEqual(facts.tarVersion, { major: 1, minor: 34 })
  assert.equal(facts.fstab, ANSWERS['fstab'])
  assert.equal(facts.hasEfiFirmware, false)
  assert.equal(facts.devices, null)
})

test('parseProbe() refuses a user who is not root', () => {
  refuses({ ...ANSWERS, uid: '1000' }, /user 1000 is not root/)
})

test('parseProbe() refuses a golden client without GNU tar, or with one that is too old', () => {
  refuses({ ...ANSWERS, tar: '' }, /it has no tar, GNU tar 1\.28/)
  refuses({ ...ANSWERS, tar: 'tar (busybox) 1.35.0' }, /it has "tar \(busybox\) 1\.35\.0"/)
  refuses({ ...ANSWERS, tar: 'tar (GNU tar) 1.27.1' }, /1\.27\.1/)
})

test('parseProbe() refuses a golden client without GNU find', () => {
  refuses({ ...ANSWERS, find: '' }, /it has no find, GNU find is needed/)
  refuses({ ...ANSWERS, find: 'BusyBox v1.35.0' }, /it has "BusyBox v1\.35\.0"/)
})

test('parseProbe() refuses a login shell that prints text', () => {
  const { stdout } = output(ANSWERS)
  assert.throws(
    () => parseProbe(CLIENT, '@m', { stdout: `Welcome!\n${stdout}`, stderr: '' }),
    /its login shell prints "Welcome!"/,
  )
})

test('parseProbe() throws ERR_SI_GOLDEN_CLIENT for output that ends anywhere early', () => {
  const { stdout } = output(ANSWERS)
  for (let length = 0; length < stdout.length - 1; length++) {
    const cut = { stdout: stdout.slice(0, length), stderr: 'sh: not found\n' }
    assert.throws(() => parseProbe(CLIENT, '@m', cut), { code: 'ERR_SI_GOLDEN_CLIENT' })
  }
})

test('probeScript() runs in dash and answers for this machine', async () => {
  const { stdout, stderr } = await run('dash', ['-s'], { input: probeScript('/', '@m') })
  assert.equal(stderr, '')
  assert.match(stdout, /^@m uid\n\d+\n\n@m = 0\n/)
  assert.match(stdout, /@m end\n\n@m = 0\n$/)
})

test('createGoldenClient() refuses a host that ssh would take for an option', () => {
  for (const host of ['-oProxyCommand=x', '', 'a b']) {
    assert.throws(() => createGoldenClient({ type: 'ssh', host, sshOptions: [] }), {
      code: 'ERR_SI_USAGE',
    })
  }
})

test("sshArguments() puts the user's options before ours", () => {
  const args = sshArguments({
    ...{ type: 'ssh', host: 'root@golden01', port: 2222, identityFile: '/key' },
    sshOptions: ['ConnectTimeout=1'],
  })
  assert.deepEqual(args.slice(0, 7), ['-T', '-p', '2222', '-i', '/key', '-o', 'ConnectTimeout=1'])
  assert.ok(args.indexOf('BatchMode=yes') > 7)
  assert.deepEqual(args.slice(-3), ['--', 'root@golden01', 'sh -s'])
})

function refuses(answers: Readonly<Record<string, string>>, message: RegExp): void {
  assert.throws(() => parseProbe(CLIENT, '@m', output(answers)), {
    code: 'ERR_SI_GOLDEN_CLIENT',
    message,
  })
}

function output(answers: Readonly<Record<string, string>>) {
  const sections = [...Object.entries(answers), ['end', '']]
  const stdout = sections.map(([name, text]) => `@m ${name}\n${text}\n@m = 0\n`).join('')
  return { stdout, stderr: '' }
}

// Scripts before and after an installation: real programs, in the target on a loop device. Needs root.
import assert from 'node:assert/strict'
import { mkdir, open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { isSiError, SiError } from '../../src/core/core.ts'
import { readMounts, run } from '../../src/host/host.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { makeScriptSite, script, type ScriptSite } from './script-site.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'

const VARIABLES = [
  ...['STAGE', 'SCRIPT', 'HOST_NAME', 'GROUPS', 'IMAGE', 'IMAGE_VERSION', 'TARGET', 'DISKS'],
  ...['FIRMWARE', 'SERVER', 'PARAM_RACK'],
]
const PRINT = VARIABLES.map((name) => `echo "${name}=\${SI_${name}?}"\n`).join('')

const inSite = (body: (site: ScriptSite, scope: Scope) => Promise<void>) => () =>
  withScope(async (scope) => {
    await body(await makeScriptSite(scope), scope)
    const left = (await readMounts()).filter(({ mountPoint }) =>
      mountPoint.includes('/run/swarmim'),
    )
    assert.deepEqual(left, [])
  })

async function isRunning(pattern: string): Promise<boolean> {
  const { exitCode } = await run('pgrep', ['-f', pattern], { okExitCodes: [0, 1] })
  return exitCode === 0
}

/** Whether the beginning of the disk, where partition table and file system would be, is still empty. */
async function isEmptyDisk(device: string): Promise<boolean> {
  await using disk = await open(device)
  const { buffer } = await disk.read(Buffer.alloc(2 ** 21), 0, 2 ** 21, 0)
  return buffer.every((byte) => byte === 0)
}

test(
  'deploy() runs scripts in their order and tells them what they are for',
  { skip },
  inSite(async (site, scope) => {
    const { device } = site.disk
    const trace = join(scope.directory, 'trace')
    const first = `test -e ${device}p1 || echo "no partition yet" >>${trace}\n`
    const second = `#!/bin/sh -e\necho second >>${trace}\n${PRINT}`
    const one = `echo one >>/etc/order\n${PRINT}pwd; cat; test ! -e ${trace} && echo apart\n`
    const two = '#!/bin/sh\necho two >>/etc/order\n'
    const report = await site.deploy({
      scripts: {
        preInstall: [script('a/first', first), script('second', second)],
        postInstall: [script('b/one.sh', one), script('two.sh', two)],
        ...{ groups: ['all', 'gpu'], server: 'http://server:8080', parameters: { rack: "r'7 x" } },
      },
    })
    assert.equal(await readFile(trace, 'utf8'), 'no partition yet\nsecond\n')
    const at = await site.look()
    const read = (path: string) => readFile(join(at, path), 'utf8')
    assert.equal(await read('etc/order'), 'one\ntwo\n')
    const logs = 'var/log/swarmimager'
    assert.deepEqual(await readdir(join(at, logs)), [
      ...['post-install-1-one.sh.log', 'post-install-2-two.sh.log'],
      ...['pre-install-1-first.log', 'pre-install-2-second.log'],
    ])
    const common = [
      ...['HOST_NAME=node07', 'GROUPS=all gpu', 'IMAGE=sample', 'IMAGE_VERSION=1', 'TARGET=disk'],
      ...[`DISKS=${device}`, 'FIRMWARE=none', 'SERVER=http://server:8080', "PARAM_RACK=r'7 x"],
    ]
    const said = (await read(`${logs}/post-install-1-one.sh.log`)).split('\n')
    assert.match(said[0] ?? '', /^# post-install script b\/one\.sh, 20/)
    const told = ['STAGE=post-install', 'SCRIPT=b/one.sh', ...common]
    assert.deepEqual(said.slice(1), [...told, '/', 'apart', '# exit status 0', ''])
    const before = (await read(`${logs}/pre-install-2-second.log`)).split('\n')
    assert.deepEqual(before.slice(1, -2), ['STAGE=pre-install', 'SCRIPT=second', ...common])
    assert.deepEqual(
      report.scripts.map(({ stage, name, exitCode }) => `${stage} ${name} ${exitCode}`),
      [
        ...['pre-install a/first 0', 'pre-install second 0'],
        ...['post-install b/one.sh 0', 'post-install two.sh 0'],
      ],
    )
    assert.ok(site.notes.includes('one.sh: IMAGE=sample'))
  }),
)

test(
  'deploy() runs no script when it only plans',
  { skip },
  inSite(async (site, scope) => {
    const trace = join(scope.directory, 'trace')
    const preInstall = [script('first', `echo >${trace}`)]
    await site.deploy({ scripts: { preInstall }, options: { dryRun: true } })
    await assert.rejects(readFile(trace), { code: 'ENOENT' })
  }),
)

test(
  'deploy() leaves the disk alone when a pre-install script fails',
  { skip },
  inSite(async (site) => {
    const preInstall = [script('no.sh', 'echo Not this machine >&2; exit 3')]
    await assert.rejects(site.deploy({ scripts: { preInstall } }), {
      code: 'ERR_SI_SCRIPT',
      message:
        'The pre-install script no.sh failed with status 3: Not this machine (on failure: stop)',
      hint: 'Mend no.sh and deploy again; this run has not touched the target',
    })
    assert.ok(await isEmptyDisk(site.disk.device))
  }),
)

/** Leaves nothing of the image as it was, and fails. */
const RUIN = `
rm /etc/motd; ln -s /etc/other /etc/motd
rm /etc/a; mkdir -p /etc/a/b
rm -r /var/log; echo file >/var/log
ln -f /bin/busybox /etc/twin
rm /etc/twin1; ln /etc/twin2 /etc/twin1
mv /opt /opt.real; ln -s opt.real /opt
echo all lost; exit 4
`

test(
  'deploy() goes on after a post-install script failed, whatever that did to the tree',
  { skip },
  () =>
    withScope(async (scope) => {
      const files = {
        'etc/a': 'a\n',
        'etc/twin1': 'twin one\n',
        'etc/twin2': 'two\n',
        'opt/x/y': 'y',
      }
      const site = await makeScriptSite(scope, files)
      const failing = site.deploy({ scripts: { postInstall: [script('x/ruin.sh', RUIN)] } })
      await assert.rejects(failing, {
        code: 'ERR_SI_SCRIPT',
        message:
          'The post-install script x/ruin.sh failed with status 4: all lost (on failure: stop)',
      })
      const postInstall = [script('good.sh', 'echo good >/etc/good')]
      const report = await site.deploy({ scripts: { postInstall } })
      assert.ok(report.resumedPieces > 0)
      const at = await site.look()
      for (const [path, text] of Object.entries({ ...files, 'etc/good': 'good\n' })) {
        assert.equal(await readFile(join(at, path), 'utf8'), text)
      }
      assert.equal(await readFile(join(at, 'etc/motd'), 'utf8'), 'golden\n')
      const same = ['-s', join(scope.directory, 'golden/bin/busybox'), join(at, 'bin/busybox')]
      await run('cmp', same)
      assert.deepEqual(await readdir(join(at, 'var/log/swarmimager')), [
        'post-install-1-good.sh.log',
      ])
    }),
)

test(
  'deploy() keeps the output of a script that failed in the target',
  { skip },
  inSite(async (site) => {
    const postInstall = [script('bad.sh', 'echo why; exit 9')]
    await assert.rejects(site.deploy({ scripts: { postInstall } }), (error) => {
      assert.ok(isSiError(error, 'ERR_SI_SCRIPT'))
      assert.match(error.hint ?? '', /^Mend bad\.sh .* \/var\/log\/swarmimager of the target$/)
      return true
    })
    const log = join(await site.look(), 'var/log/swarmimager/post-install-1-bad.sh.log')
    assert.match(await readFile(log, 'utf8'), /^# .*\nwhy\n# exit status 9\n$/)
  }),
)

test(
  'deploy() goes on after a failing script if so chosen, and says so',
  { skip },
  inSite(async (site) => {
    const postInstall = [script('bad.sh', 'exit 9'), script('next.sh', 'echo next >/etc/next')]
    const { leftOut } = await site.deploy({ scripts: { postInstall, onFailure: 'continue' } })
    assert.ok(leftOut.includes('post-install script bad.sh failed with status 9'))
    assert.equal(await readFile(join(await site.look(), 'etc/next'), 'utf8'), 'next\n')
  }),
)

test(
  'deploy() opens a shell for a failing script where there is a console, and stops where there is none',
  { skip },
  inSite(async (site) => {
    const scripts = { postInstall: [script('bad.sh', 'exit 9')], onFailure: 'shell' } as const
    await assert.rejects(site.deploy({ scripts }), {
      message:
        'The post-install script bad.sh failed with status 9 (on failure: shell, but there is no console to open one on)',
    })
    const reasons: string[] = []
    const shell = (status: number) => async (reason: string) => {
      reasons.push(reason)
      return status
    }
    await assert.rejects(site.deploy({ scripts, io: { shell: shell(1) } }), {
      code: 'ERR_SI_SCRIPT',
    })
    const { leftOut } = await site.deploy({ scripts, io: { shell: shell(0) } })
    assert.equal(reasons.length, 2)
    assert.match(
      reasons[0] ?? '',
      /bad\.sh failed with status 9\. The target is \/run\/swarmimager\/\S+\. "exit 0" goes on/,
    )
    assert.ok(leftOut.some((line) => line.endsWith('it went on after a shell')))
  }),
)

test(
  'deploy() ends what a script left running, here and in the target',
  { skip },
  inSite(async (site) => {
    const leave = (seconds: number) => script('leave.sh', `sleep ${seconds} >/etc/held & echo on\n`)
    const inSession = '(setsid busybox sleep 7654323 >/etc/other 2>&1 &)\nsleep 0.2\n'
    const postInstall = [leave(7654322), script('session.sh', inSession)]
    await site.deploy({ scripts: { postInstall } })
    assert.equal(await isRunning('sleep 765432'), false)
    assert.ok(site.notes.some((note) => /^leave\.sh: still running, and ended: s/.test(note)))
  }),
)

test(
  'deploy() ends a script at its time limit',
  { skip },
  inSite(async (site) => {
    const preInstall = [script('slow.sh', 'echo waiting; sleep 7654324')]
    const failing = site.deploy({ scripts: { preInstall, timeLimitMs: 500 } })
    await assert.rejects(failing, {
      code: 'ERR_SI_SCRIPT',
      message:
        'The pre-install script slow.sh was still running after 0.5 s and was ended: waiting (on failure: stop)',
    })
    assert.equal(await isRunning('sleep 7654324'), false)
  }),
)

for (const stage of ['preInstall', 'postInstall'] as const) {
  test(
    `deploy() that is interrupted in a ${stage} script ends all that the script started`,
    { skip },
    inSite(async (site) => {
      const controller = new AbortController()
      const text = 'trap "" INT TERM; echo begun; (sleep 7654325); sleep 7654325'
      const scripts = { [stage]: [script('wait.sh', text)] }
      const waiting = site.deploy({ scripts, signal: controller.signal })
      await waitFor('the script', () => isRunning('sleep 7654325'), { deadlineMs: 60_000 })
      controller.abort(new SiError('ERR_SI_ABORTED', 'Interrupted'))
      await assert.rejects(waiting, { code: 'ERR_SI_ABORTED' })
      assert.equal(await isRunning('sleep 7654325'), false)
    }),
  )
}

test(
  'deploy() names the interpreter that the image lacks',
  { skip },
  inSite(async (site) => {
    const postInstall = [script('a.py', '#!/usr/bin/python9\n')]
    await assert.rejects(site.deploy({ scripts: { postInstall } }), {
      message: /a\.py failed with status 127: env: .*\/usr\/bin\/python9/,
      hint: /^Look whether what a\.py calls is installed/,
    })
  }),
)

test(
  'deploy() runs post-install scripts in a directory, too',
  { skip },
  inSite(async (site, scope) => {
    const directory = join(scope.directory, 'tree')
    await mkdir(directory)
    const target = { type: 'root', directory } as const
    const text = 'echo "$SI_TARGET:$SI_DISKS" >/etc/said'
    await site.deploy({ scripts: { postInstall: [script('s', text)] }, options: { target } })
    assert.equal(await readFile(join(directory, 'etc/said'), 'utf8'), `${directory}:\n`)
    assert.deepEqual(await readdir(join(directory, 'proc')), [])
  }),
)

// si-iopolicy on a real kernel: who is limited, who is left alone, and that everything is as before when it has ended.
import assert from 'node:assert/strict'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  findIoHierarchy,
  findIoDevice,
  ioGroupOf,
  openIoGroup,
  run,
  type IoGroup,
} from '../../src/host/host.ts'
import { createLoopDisk } from '../lab/loop-disk.ts'
import { startInLab, type LabProgram } from '../lab/lab-program.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'

const SI = join(import.meta.dirname, '../../src/cli/si')
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const MIB = 2 ** 20
/** Accounts that every Debian has, and nobody uses. */
const GAMES = 5
const NEWS = 9
const GAMES_GROUP = 60

interface Site {
  readonly scope: Scope
  readonly file: string
  readonly state: string
}

async function makeSite(scope: Scope, policy: string): Promise<Site> {
  const site = {
    scope,
    file: join(scope.directory, 'policy'),
    state: join(scope.directory, 'state'),
  }
  await writeFile(site.file, policy)
  return site
}

const words = ({ file, state }: Site) => ['iopolicy', '--config', file, '--state', state]

async function startDaemon(site: Site): Promise<LabProgram> {
  const daemon = startInLab(site.scope, 'iopolicy', { program: SI, args: words(site) })
  await until(site, 'the policy in force', () => daemon.lastWords().includes('in force'))
  return daemon
}

function until(
  { scope }: Pick<Site, 'scope'>,
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const options = { deadlineMs: 20_000, signal: scope.signal }
  return waitFor(what, async () => condition(), options)
}

/** A process of these ids, ended with the scope. */
function startAs(
  { scope }: Pick<Site, 'scope'>,
  ids: { readonly uid: number; readonly gid?: number; readonly groups?: string },
  command: readonly string[] = ['sleep', '60'],
): ChildProcess {
  const { uid, gid = uid, groups } = ids
  const supplementary = groups === undefined ? '--clear-groups' : `--groups=${groups}`
  const args = [`--reuid=${uid}`, `--regid=${gid}`, supplementary, ...command]
  const child = spawn('setpriv', args, { stdio: 'ignore' })
  const exited = once(child, 'exit')
  scope.defer(`process ${child.pid}`, async () => {
    child.kill('SIGKILL')
    await exited
  })
  return child
}

const hierarchy = () => findIoHierarchy()
const groupOf = (child: ChildProcess) => ioGroupOf(hierarchy(), child.pid ?? 0)
const isIn = (child: ChildProcess, name: string) => async () => (await groupOf(child)) === name
const policyGroup = (name: string): IoGroup =>
  openIoGroup(hierarchy(), `/swarmimager/policy-${name}`)

describe('si-iopolicy', { skip }, () => {
  test('limits by user and by group, each or joint, and puts everything back', () =>
    withScope(async (scope) => {
      const policy = `user root unlimited\nuser ${NEWS} 2MB/s\ngroup ${GAMES_GROUP} 5MB/s joint\n`
      const site = await makeSite(scope, policy)
      const home = await ioGroupOf(hierarchy(), 'self')
      const early = startAs(site, { uid: NEWS })
      const daemon = await startDaemon(site)
      await until(site, 'a process that was there', isIn(early, `/swarmimager/policy-user-${NEWS}`))
      const member = startAs(site, { uid: GAMES, groups: `${GAMES_GROUP}` })
      const other = startAs(site, { uid: 7, gid: GAMES_GROUP })
      const joint = `/swarmimager/policy-group-${GAMES_GROUP}`
      await until(site, 'a member of the group', isIn(member, joint))
      await until(site, 'one of its own group', isIn(other, joint))
      assert.equal(await ioGroupOf(hierarchy(), 'self'), home, 'root is unlimited')
      const all = [...(await policyGroup(`group-${GAMES_GROUP}`).limits()).values()]
      assert.ok(all.length > 0 && all.every(({ readBytesPerSecond }) => readBytesPerSecond === 5e6))
      await daemon.stop('SIGTERM')
      for (const child of [early, member, other]) assert.equal(await groupOf(child), home)
      assert.equal(existsSync(policyGroup(`user-${NEWS}`).directory), false)
      assert.equal(existsSync(policyGroup(`group-${GAMES_GROUP}`).directory), false)
    }))

  test('gives three readers of a group one limit together', () =>
    withScope(async (scope) => {
      const { device } = await createLoopDisk(scope, { name: 'disk', sizeBytes: 256 * MIB })
      await run('chmod', ['a+r', device])
      const site = await makeSite(scope, `group ${GAMES_GROUP} 4MiB/s joint\n`)
      const loop = `while :; do dd if=${device} of=/dev/null iflag=direct bs=128K count=64; done`
      const ids = { uid: GAMES, gid: GAMES_GROUP }
      const readers = [1, 2, 3].map(() => startAs(site, ids, ['sh', '-c', `${loop} 2>/dev/null`]))
      await startDaemon(site)
      const joint = `/swarmimager/policy-group-${GAMES_GROUP}`
      for (const reader of readers) await until(site, 'a reader in the group', isIn(reader, joint))
      const { number } = await findIoDevice(device)
      const readBytes = async () => {
        const counts = await policyGroup(`group-${GAMES_GROUP}`).counts()
        return counts.find((one) => one.device === number)?.readBytes ?? 0
      }
      const [before, startedMs] = [await readBytes(), performance.now()]
      await until(site, '16 MiB', async () => (await readBytes()) >= before + 16 * MIB)
      const rate = ((await readBytes()) - before) / ((performance.now() - startedMs) / 1000)
      assert.ok(rate <= 1.05 * 4 * MIB, `${rate} bytes/s`)
    }))

  test('leaves alone who is in a container, delegated, or limited by si-iothrottle', () =>
    withScope(async (scope) => {
      const site = await makeSite(scope, `user ${GAMES} 1MB/s\n`)
      const { mountPoint } = hierarchy()
      const delegated = `/${scope.id}-delegated`
      const folder = join(mountPoint, delegated)
      scope.defer(folder, () => rmdir(folder).catch(() => {}))
      await mkdir(folder)
      await run('setfattr', ['-n', 'trusted.delegate', '-v', '1', folder])
      const given = startAs(site, { uid: GAMES })
      await openIoGroup(hierarchy(), delegated).add(given.pid ?? 0)
      const limited = startAs(site, { uid: GAMES })
      spawnSync(SI, ['iothrottle', '-q', '-p', `${limited.pid}`, '2MiB/s'])
      const contained = spawn('unshare', [
        ...['--pid', '--fork', '--kill-child', 'setpriv', `--reuid=${GAMES}`, 'sleep', '60'],
      ])
      scope.defer('the container', async () => void contained.kill('SIGKILL'))
      await startDaemon(site)
      const plain = startAs(site, { uid: GAMES })
      await until(site, 'a plain process', isIn(plain, `/swarmimager/policy-user-${GAMES}`))
      assert.equal(await groupOf(given), delegated)
      assert.match((await groupOf(limited)) ?? '', /^\/swarmimager\/iothrottle-/)
      const inside = await policyGroup(`user-${GAMES}`).processes()
      assert.deepEqual(inside, [plain.pid])
      given.kill('SIGKILL')
      await until(site, 'the end of it', () => !existsSync(`/proc/${given.pid}`))
    }))

  test('keeps what holds when its file is broken, and changes limits when it is mended', () =>
    withScope(async (scope) => {
      const site = await makeSite(scope, `user ${GAMES} 1MB/s\n`)
      const home = await ioGroupOf(hierarchy(), 'self')
      const daemon = await startDaemon(site)
      const child = startAs(site, { uid: GAMES })
      const name = `/swarmimager/policy-user-${GAMES}`
      await until(site, 'the limit', isIn(child, name))
      const limit = async () => {
        const all = [...(await policyGroup(`user-${GAMES}`).limits()).values()]
        return all[0]?.readBytesPerSecond
      }
      await writeFile(site.file, `user ${GAMES} 1MB/s\nuser ${GAMES} 2MB\nusr x\n`)
      await until(site, 'a word about the fault', () =>
        /line 3: unknown word "usr"[\s\S]*stays in force/.test(daemon.lastWords()),
      )
      assert.equal(await limit(), 1e6)
      await writeFile(site.file, `user ${GAMES} 3MB/s\n`)
      await until(site, 'the new limit', async () => (await limit()) === 3e6)
      assert.equal(await groupOf(child), name)
      await writeFile(site.file, `user ${NEWS} 3MB/s\n`)
      await until(site, 'freedom', isIn(child, home ?? ''))
      await until(
        site,
        'the end of its group',
        () => !existsSync(policyGroup(`user-${GAMES}`).directory),
      )
    }))

  test('takes over what it finds after its crash, and runs once only', () =>
    withScope(async (scope) => {
      const site = await makeSite(scope, `user ${GAMES} 1MB/s\n`)
      const home = await ioGroupOf(hierarchy(), 'self')
      const first = await startDaemon(site)
      const child = startAs(site, { uid: GAMES })
      const name = `/swarmimager/policy-user-${GAMES}`
      await until(site, 'the limit', isIn(child, name))
      const second = spawnSync(SI, words(site), { encoding: 'utf8' })
      assert.equal(second.status, 1)
      assert.match(second.stderr, /Another si-iopolicy runs on this machine/)
      await until(site, 'its notes', async () =>
        (await readFile(site.state, 'utf8').catch(() => '')).includes(`${child.pid}`),
      )
      await first.stop('SIGKILL')
      assert.equal(await groupOf(child), name, 'limited on')
      const next = await startDaemon(site)
      await next.stop('SIGTERM')
      assert.equal(await groupOf(child), home)
      assert.equal(existsSync(policyGroup(`user-${GAMES}`).directory), false)
    }))

  test('limits a cgroup that is there, and restores it', () =>
    withScope(async (scope) => {
      const name = `/${scope.id}-batch`
      const { mountPoint, kind } = hierarchy()
      const folder = join(mountPoint, name)
      scope.defer(folder, () => rmdir(folder))
      await mkdir(folder)
      const site = await makeSite(scope, `cgroup ${name} 7MB/s\n`)
      const daemon = await startDaemon(site)
      const limits = await openIoGroup({ kind, mountPoint }, name).limits()
      assert.ok(
        [...limits.values()].every(({ writeBytesPerSecond }) => writeBytesPerSecond === 7e6),
      )
      assert.ok(limits.size > 0)
      await daemon.stop('SIGTERM')
      assert.equal((await openIoGroup({ kind, mountPoint }, name).limits()).size, 0)
    }))

  test('shows what it would do', () =>
    withScope(async (scope) => {
      const site = await makeSite(scope, `user ${GAMES} 1MB/s\n`)
      const child = startAs(site, { uid: GAMES })
      await until(
        site,
        'its start',
        async () => (await readFile(`/proc/${child.pid}/comm`, 'utf8')) === 'sleep\n',
      )
      const { stdout } = spawnSync(SI, [...words(site), '--dry-run'], { encoding: 'utf8' })
      assert.equal(stdout, `${child.pid} sleep → policy-user-${GAMES}\n`)
      assert.equal(await groupOf(child), await ioGroupOf(hierarchy(), 'self'))
    }))
})

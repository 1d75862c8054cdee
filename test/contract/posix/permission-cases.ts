// Who may do what: owner, group, further groups and others against every mode, the sticky bit, setuid and
// setgid, changing owner and mode.
import assert from 'node:assert/strict'
import { fails, O, type PosixCase, type PosixSite } from './posix-site.ts'

const OWNER = { uid: 7001, gid: 7101 }
const READ = 4
const WRITE = 2
const EXECUTE = 1

/** Users with the class of permission bits that holds for them, as a shift of the mode. */
const USERS = [
  { name: 'the owner', who: OWNER, shift: 6 },
  { name: 'one of the group', who: { uid: 7002, gid: 7101 }, shift: 3 },
  {
    name: 'one with the group among others',
    who: { uid: 7003, gid: 7103, groups: [7101] },
    shift: 3,
  },
  { name: 'anybody else', who: { uid: 7004, gid: 7104 }, shift: 0 },
] as const

async function owned(site: PosixSite, path: string, mode: number): Promise<string> {
  await site.agent.call('chown', path, OWNER.uid, OWNER.gid)
  await site.agent.call('chmod', path, mode)
  return path
}

async function allowed(call: Promise<unknown>, isAllowed: boolean): Promise<void> {
  if (isAllowed) await call
  else await fails('EACCES', call)
}

const matrixCases = USERS.flatMap(({ name, who, shift }): PosixCase[] => [
  [
    `${name} opens, searches and changes a file and a folder as each of 8 modes says`,
    async (site) => {
      for (let bits = 0; bits < 8; bits += 1) {
        // The other classes have the opposite: only the right one counts.
        const mode = (0o777 & ~(7 << shift)) | (bits << shift)
        const file = await owned(site, await site.file(`file${bits}`, 'x'), mode)
        const folder = await site.directory(`folder${bits}`)
        await site.file(`folder${bits}/inside`)
        await owned(site, folder, mode)
        const can = (wanted: number) => (bits & wanted) === wanted
        await site.agent.as(who, async () => {
          const { agent } = site
          await allowed(agent.call('open', file, O.RDONLY), can(READ))
          await allowed(agent.call('open', file, O.WRONLY), can(WRITE))
          await allowed(agent.call('open', file, O.RDWR), can(READ | WRITE))
          await allowed(agent.call('truncate', file, 0), can(WRITE))
          for (const wanted of [READ, WRITE, EXECUTE]) {
            await allowed(agent.call('access', file, wanted), can(wanted))
          }
          await allowed(agent.call('list', folder), can(READ))
          await allowed(agent.call('stat', `${folder}/inside`), can(EXECUTE))
          await allowed(agent.call('mkdir', `${folder}/new`, 0o755), can(WRITE | EXECUTE))
          await allowed(agent.call('symlink', 'x', `${folder}/link`), can(WRITE | EXECUTE))
          await allowed(agent.call('mkfifo', `${folder}/fifo`, 0o644), can(WRITE | EXECUTE))
          await allowed(agent.call('unlink', `${folder}/inside`), can(WRITE | EXECUTE))
        })
      }
    },
  ],
])

const STICKY_FOLDER_OWNER = { uid: 7005, gid: 7105 }

const stickyCases: readonly PosixCase[] = (['unlink', 'rmdir', 'rename', 'replace'] as const).map(
  (act): PosixCase => [
    `in a sticky folder ${act} is for the owners of the folder and of what is in it, and for root`,
    async (site) => {
      const people = [
        { who: OWNER, isAllowed: true },
        { who: STICKY_FOLDER_OWNER, isAllowed: true },
        { who: { uid: 0, gid: 0 }, isAllowed: true },
        { who: { uid: 7004, gid: 7104 }, isAllowed: false },
        { who: { uid: 7004, gid: 7101 }, isAllowed: false },
      ]
      for (const [index, { who, isAllowed }] of people.entries()) {
        const folder = await site.directory(`sticky${index}`)
        const { uid, gid } = STICKY_FOLDER_OWNER
        await site.agent.call('chown', folder, uid, gid)
        await site.agent.call('chmod', folder, 0o1777)
        const path = `${folder}/it`
        if (act === 'rmdir') await site.agent.call('mkdir', path, 0o777)
        else await site.file(`sticky${index}/it`)
        await owned(site, path, 0o777)
        const other = await site.file(`other${index}`)
        await site.agent.call('chmod', site.folder, 0o777)
        const call = site.agent.as(who, () => {
          if (act === 'rename') return site.agent.call('rename', path, site.at(`moved${index}`))
          if (act === 'replace') return site.agent.call('rename', other, path)
          return site.agent.call(act, path)
        })
        if (isAllowed) await call
        else await fails(['EPERM', 'EACCES'], call)
      }
    },
  ],
)

const ownerCases: readonly PosixCase[] = [
  [
    'only root gives a file away; its owner may give it to a group of his',
    async (site) => {
      const file = await owned(site, await site.file('file'), 0o644)
      await site.agent.as({ ...OWNER, groups: [7102] }, async () => {
        await fails('EPERM', site.agent.call('chown', file, 7002, -1))
        await fails('EPERM', site.agent.call('chown', file, -1, 7999))
        await site.agent.call('chown', file, -1, 7102)
      })
      assert.equal((await site.agent.status(file)).gid, 7102)
      await fails(
        'EPERM',
        site.agent.as({ uid: 7002, gid: 7102 }, () => site.agent.call('chown', file, -1, 7102)),
      )
    },
  ],
  [
    'only owner and root change a mode',
    async (site) => {
      const file = await owned(site, await site.file('file'), 0o666)
      await fails(
        'EPERM',
        site.agent.as({ uid: 7004 }, () => site.agent.call('chmod', file, 0o600)),
      )
      await site.agent.as(OWNER, () => site.agent.call('chmod', file, 0o7711))
      assert.equal((await site.agent.status(file)).mode, 0o7711)
    },
  ],
  [
    'an owner who is not in the group of a file does not make it setgid',
    async (site) => {
      const file = await site.file('file')
      await site.agent.call('chown', file, OWNER.uid, 7999)
      await site.agent.as(OWNER, () => site.agent.call('chmod', file, 0o2755))
      assert.equal((await site.agent.status(file)).mode, 0o755)
    },
  ],
  [
    'chown by its owner takes setuid and setgid from a program',
    async (site) => {
      const file = await owned(site, await site.file('file'), 0o6755)
      await site.agent.as({ ...OWNER, groups: [7102] }, () =>
        site.agent.call('chown', file, -1, 7102),
      )
      assert.equal((await site.agent.status(file)).mode, 0o755)
    },
  ],
  [
    'writing and truncating by others than root take setuid and setgid from a program',
    async (site) => {
      for (const act of ['write', 'truncate'] as const) {
        const file = await owned(site, await site.file(act, 'content'), 0o6777)
        await site.agent.as({ uid: 7004, gid: 7104 }, async () => {
          if (act === 'truncate') return site.agent.call('truncate', file, 3)
          const fd = await site.agent.number('open', file, O.WRONLY)
          await site.agent.call('write', fd, 'x')
          return site.agent.call('close', fd)
        })
        assert.equal((await site.agent.status(file)).mode, 0o777, act)
      }
    },
  ],
  [
    'what is made in a setgid folder gets its group; folders are setgid too',
    async (site) => {
      const folder = await site.directory('folder')
      await site.agent.call('chown', folder, 0, 7777)
      await site.agent.call('chmod', folder, 0o2777)
      await site.agent.as(OWNER, async () => {
        await site.agent.call('open', `${folder}/file`, O.CREAT | O.WRONLY, 0o644)
        await site.agent.call('mkdir', `${folder}/below`, 0o755)
        await site.agent.call('symlink', 'x', `${folder}/link`)
      })
      for (const name of ['file', 'below', 'link']) {
        assert.equal((await site.agent.status(`${folder}/${name}`)).gid, 7777, name)
      }
      assert.equal((await site.agent.status(`${folder}/below`)).mode, 0o2755)
      assert.equal((await site.agent.status(`${folder}/file`)).mode, 0o644)
    },
  ],
  [
    'the umask takes bits from what is made',
    async (site) => {
      site.agent.umask = 0o027
      await site.agent.call('open', site.at('file'), O.CREAT | O.WRONLY, 0o666)
      await site.agent.call('mkdir', site.at('folder'), 0o777)
      await site.agent.call('mkfifo', site.at('fifo'), 0o666)
      site.agent.umask = 0
      assert.equal((await site.agent.status(site.at('file'))).mode, 0o640)
      assert.equal((await site.agent.status(site.at('folder'))).mode, 0o750)
      assert.equal((await site.agent.status(site.at('fifo'))).mode, 0o640)
    },
  ],
  [
    'a file that its mode makes read-only can be written by whoever makes it',
    async (site) => {
      await site.agent.as(OWNER, async () => {
        const fd = await site.agent.number('open', site.at('file'), O.CREAT | O.RDWR, 0o000)
        await site.agent.call('write', fd, 'x')
        await site.agent.call('close', fd)
        await fails('EACCES', site.agent.call('open', site.at('file'), O.RDONLY))
      })
    },
  ],
  [
    'an open file stays open when its mode changes',
    async (site) => {
      const file = await owned(site, await site.file('file', 'content'), 0o644)
      const fd = await site.agent.as(OWNER, () => site.agent.number('open', file, O.RDWR))
      await site.agent.call('chmod', file, 0)
      assert.equal(await site.agent.as(OWNER, () => site.agent.call('read', fd, 3)), 'con')
    },
  ],
  [
    'devices are made by root alone, fifos by everybody',
    async (site) => {
      await site.agent.as(OWNER, async () => {
        await fails('EPERM', site.agent.call('mknod', site.at('device'), 0o020644, 1, 3))
        await site.agent.call('mkfifo', site.at('fifo'), 0o644)
      })
    },
  ],
  [
    'a folder that cannot be searched hides everything below',
    async (site) => {
      await site.directory('a')
      await site.directory('a/b')
      await site.file('a/b/file')
      await owned(site, site.at('a'), 0o600)
      await site.agent.as({ uid: 7004 }, async () => {
        for (const call of ['stat', 'readlink', 'unlink'] as const) {
          await fails('EACCES', site.agent.call(call, site.at('a/b/file')))
        }
        await fails('EACCES', site.agent.call('rename', site.at('a/b/file'), site.at('new')))
        await fails('EACCES', site.agent.call('link', site.at('a/b/file'), site.at('new')))
      })
    },
  ],
  [
    'a folder of another owner does not change its parent without write permission on it',
    async (site) => {
      const [a, b] = [await site.directory('a'), await site.directory('b')]
      await site.directory('a/moved')
      for (const path of [a, b]) await site.agent.call('chmod', path, 0o777)
      await site.agent.call('chmod', `${a}/moved`, 0o555)
      const move = () => site.agent.call('rename', `${a}/moved`, `${b}/moved`)
      await fails('EACCES', site.agent.as({ uid: 7004 }, move))
    },
  ],
]

export const permissionCases = [...matrixCases, ...stickyCases, ...ownerCases]

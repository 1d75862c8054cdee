// si-iopolicy: limits on disk I/O by user, group and cgroup, for as long as it runs. SIGHUP has it read its file again; it does so by
// itself soon after the file has changed.
import { open, stat, type FileHandle } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { Option, type Command } from 'commander'
import { messageOf, SiError } from '../core/core.ts'
import type { PolicyDaemon } from '../throttle/throttle.ts'
import { jsonOption } from './arguments.ts'
import { createCommandLog } from './command-log.ts'
import { createCommand } from './command.ts'
import { writeJson, type Io } from './io.ts'

interface Flags {
  readonly config: string
  readonly state: string
  readonly dryRun?: true
  readonly json?: true
}

const LOOK_MS = 1000

export function createIopolicyCommand(io: Io): Command {
  return createCommand({
    name: 'iopolicy',
    summary: 'Limit disk I/O by user, group and cgroup, until Ctrl-C; then all is as before',
    examples: [
      'si-iopolicy                        as /etc/swarmimager/iopolicy says',
      'si-iopolicy --dry-run              which processes would be limited now',
      'si-iopolicy --config ./iopolicy',
    ],
    exitCodes: [0, 1, 2],
  })
    .addOption(
      new Option('--config <file>', 'who may do how much')
        .env('SI_IOPOLICY')
        .default('/etc/swarmimager/iopolicy'),
    )
    .addOption(
      new Option('--state <file>', 'what is needed to put everything back')
        .env('SI_IOPOLICY_STATE')
        .default('/run/swarmimager/iopolicy.json'),
    )
    .option('--dry-run', 'only show which processes would be limited, and how')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
One rule a line; the first that fits a process holds:
  user   root       unlimited
  user   alice      5MB/s
  group  students   5MB/s joint                     all together; without "joint" each of them
  group  professors read 50MB/s write 20MB/s,200iops
  cgroup /batch     10MB/s                          that is there already`,
    )
    .action((flags: Flags) => runIopolicy(flags, io))
}

async function runIopolicy(flags: Flags, io: Io): Promise<void> {
  const { loadPolicy, PolicyDaemon, PolicyState } = await import('../throttle/throttle.ts')
  const { findIoHierarchy, listIoDevices } = await import('../host/host.ts')
  const log = createCommandLog(io, { command: 'si-iopolicy', json: flags.json === true })
  const onNote = (text: string) => log.info({}, text)
  const file = resolve(flags.config)
  const policy = await loadPolicy(file)
  const hierarchy = findIoHierarchy()
  const state = await PolicyState.open(resolve(flags.state))
  const devices = await listIoDevices()
  const daemon = new PolicyDaemon({ hierarchy, devices, state, onNote })
  if (flags.dryRun) {
    daemon.adopt(policy)
    return await showMoves(daemon, flags, io)
  }
  const lock = await lockState(`${resolve(flags.state)}.lock`)
  await daemon.setPolicy(policy)
  const reload = followFile(file, async () => {
    try {
      await daemon.setPolicy(await loadPolicy(file))
      onNote(`${file} was read anew`)
    } catch (error) {
      onNote(`${messageOf(error)}; what was read before stays in force`)
    }
  })
  io.onHangUp(() => void reload({ isForced: true }))
  const timer = setInterval(() => void reload({ isForced: false }), LOOK_MS)
  const { accounts, cgroups } = policy
  log.info(
    {},
    `in force: ${accounts.length + cgroups.length} rules of ${file}, by cgroup ${hierarchy.kind}`,
  )
  if (hierarchy.kind === 'v1') {
    onNote('cgroup v1 limits reads and direct writes, not what is written through the page cache')
  }
  try {
    await daemon.run(io.signal)
  } finally {
    clearInterval(timer)
    await lock.close()
  }
}

/** Two daemons would move processes to and fro. Throws ERR_SI_BUSY. */
async function lockState(path: string): Promise<FileHandle> {
  const { flock } = await import('../host/host.ts')
  const lock = await open(path, 'a', 0o600)
  if (flock(lock.fd, 'exclusive')) return lock
  await lock.close()
  throw new SiError('ERR_SI_BUSY', 'Another si-iopolicy runs on this machine', {
    hint: 'Change its file: it reads it again by itself',
  })
}

/** One after the other; without force only when the file has changed. */
function followFile(file: string, read: () => Promise<void>) {
  const versionOf = async () => {
    const info = await stat(file).catch(() => undefined)
    return info === undefined ? '' : `${info.ino} ${info.size} ${info.mtimeMs} ${info.ctimeMs}`
  }
  let known: string | undefined
  let last: Promise<void> = versionOf().then((version) => {
    known = version
  })
  return ({ isForced }: { readonly isForced: boolean }) => {
    last = last.then(async () => {
      const version = await versionOf()
      if (version === known && !isForced) return
      known = version
      await read()
    })
    return last
  }
}

async function showMoves(daemon: PolicyDaemon, flags: Flags, io: Io): Promise<void> {
  const { listProcesses, readProcessName } = await import('../host/host.ts')
  let count = 0
  for (const pid of listProcesses()) {
    const placement = await daemon.wouldMove(pid)
    if (placement === undefined) continue
    count += 1
    const command = readProcessName(pid)
    if (flags.json)
      writeJson(io, {
        type: 'move',
        pid,
        command,
        cgroup: placement.name,
        limits: placement.limits,
      })
    else io.stdout.write(`${pid} ${command} → ${basename(placement.name)}\n`)
  }
  io.stderr.write(`si-iopolicy: ${count} processes would be limited\n`)
}

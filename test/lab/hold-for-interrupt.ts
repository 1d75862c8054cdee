// Makes one of each thing a scope can hold, prints the id of the scope, and waits to be interrupted.
// Started by the test of clean-up.
import { setTimeout as delay } from 'node:timers/promises'
import { join } from 'node:path'
import { isSiError, messageOf } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import * as lab from './lab.ts'

const SPEAK_AND_WAIT = `console.log('here'); setTimeout(() => {}, 1_000_000)`

try {
  await lab.withScope(async (scope) => {
    const network = await lab.createNetwork(scope, { hosts: ['alone'] })
    const disk = await lab.createLoopDisk(scope, { name: 'disk', sizeBytes: 64 * 2 ** 20 })
    await run('mkfs.ext4', ['-q', disk.device])
    await lab.mountDevice(scope, { device: disk.device, at: join(scope.directory, 'mounted') })
    // Only a program that has spoken is surely past its exec, during which it has no environment.
    const { promise: hasSpoken, resolve } = Promise.withResolvers<void>()
    const [program, args] = [process.execPath, ['--eval', SPEAK_AND_WAIT]]
    lab.startOnHost(scope, network('alone'), { program, args, onLine: () => resolve() })
    await hasSpoken
    process.stdout.write(`${scope.id}\n`)
    await delay(60_000, undefined, { signal: scope.signal })
  })
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`)
  process.exitCode = isSiError(error, 'ERR_SI_ABORTED') ? 130 : 1
}

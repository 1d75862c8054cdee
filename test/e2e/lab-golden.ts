// The golden machine of the lab while it runs: started by UEFI, captured over ssh, switched off.
import assert from 'node:assert/strict'
import * as lab from '../lab/lab.ts'
import { SI, type LabSite } from './lab-site.ts'

/** si-getimage: the image is whole, but a running machine changed files meanwhile. */
const EXIT_PARTIAL = 3
/** Emulated, and perhaps beside other work: half a minute on a quiet machine. */
const BOOT_DEADLINE_MS = 6 * 60_000

export interface GoldenMachine {
  readonly disk: lab.GoldenMachineDisk
  readonly target: lab.SshTarget
  readonly machine: lab.Machine
}

export async function startGoldenMachine(site: LabSite): Promise<GoldenMachine> {
  const { scope, network, server, say } = site
  const host = network.virtual('golden01')
  const disk = await lab.makeGoldenDisk(scope, { host, say })
  const startMs = performance.now()
  const machine = await lab.startMachine(scope, {
    ...{ name: host.name, firmware: 'uefi', network: host },
    disks: [{ file: disk.file, bus: 'virtio', serial: 'golden' }],
  })
  const target = { from: server, host, access: disk.access }
  await lab.waitForSsh(scope, { machine, target, deadlineMs: BOOT_DEADLINE_MS })
  say(`golden01: ${seconds(startMs)} s from power-on to ssh`)
  return { disk, target, machine }
}

/** si-getimage over ssh, as a person does it. */
export async function captureGolden(site: LabSite, golden: GoldenMachine): Promise<void> {
  const { scope, server, below, say } = site
  const { identityFile, sshOptions } = golden.disk.access
  const startMs = performance.now()
  const options = sshOptions.flatMap((option) => ['--ssh-option', option])
  const places = ['--repository', below('repository'), '--pki', below('pki')]
  const args = ['getimage', 'golden01', '--identity', identityFile, ...options, ...places]
  const capture = lab.startOnHost(scope, server, { program: SI, args })
  const exitCode = await capture.exited
  assert.ok([0, EXIT_PARTIAL].includes(exitCode), `${exitCode}: ${capture.lastWords()}`)
  say(`golden01: captured in ${seconds(startMs)} s`)
}

/** Its files are on its disk afterwards as they were captured. */
export async function switchOff(site: LabSite, golden: GoldenMachine): Promise<void> {
  await lab.runOverSsh(site.scope, golden.target, 'sync')
  await golden.machine.cutPower()
}

const seconds = (startMs: number) => Math.round((performance.now() - startMs) / 1000)

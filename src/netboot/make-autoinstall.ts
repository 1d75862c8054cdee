// From an image to what machines boot: kernel, initramfs, facts. Invariant: a run that ends early leaves what was there.
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SiError, type Progress } from '../core/core.ts'
import type { ImageReference } from '../repository/repository.ts'
import {
  factsPath,
  formatBootFacts,
  INITRAMFS_FILE,
  KERNEL_FILE,
  publish,
  type BootFacts,
} from './boot-folder.ts'
import { makeInitramfs } from './initramfs.ts'
import { extractKernel, type KernelFiles } from './kernel-files.ts'
import { parseParameters } from './node/parameters.ts'
import { makePayload } from './payload.ts'

export interface MakeAutoinstallOptions {
  readonly image: ImageReference
  readonly bootDirectory: string
  /** undefined: the kernel that the golden client ran. */
  readonly kernelVersion: string | undefined
  readonly trustFile: string | undefined
  /** Text of local.cfg. */
  readonly localConfiguration: string | undefined
  /** Kernel parameters besides those that iPXE fills in. */
  readonly parameters: string
  /** Of zstd, 1 to 19. */
  readonly compressionLevel: number
}

export interface MadeAutoinstall {
  readonly facts: BootFacts
  readonly directory: string
  readonly initramfsBytes: number
}

export async function makeAutoinstall(
  options: MakeAutoinstallOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<MadeAutoinstall> {
  const { image, bootDirectory, parameters, localConfiguration } = options
  const { fault } = parseParameters({ commandLine: parameters, localConfiguration })
  if (fault !== undefined) throw fault // better here than on the console of each machine
  const show = (phase: string) => progress.update({ phase, doneBytes: 0, totalBytes: undefined })
  await mkdir(bootDirectory, { recursive: true })
  const work = await mkdtemp(join(bootDirectory, '.making-'))
  try {
    show('taking the kernel out of the image')
    const directory = join(work, 'kernel')
    const kernel = await extractKernel({ image, directory, version: options.kernelVersion }, signal)
    checkArchitecture(kernel)
    show('bundling the program')
    const payloadDirectory = join(work, 'payload')
    const madeMs = Date.now()
    await makePayload(payloadDirectory, { ...options, madeMs })
    show('making the initramfs')
    const draft = join(work, 'boot')
    await mkdir(draft)
    await copyFile(kernel.kernelFile, join(draft, KERNEL_FILE))
    const { sizeBytes } = await makeInitramfs(
      {
        ...{ kernel, payloadDirectory, output: join(draft, INITRAMFS_FILE) },
        workDirectory: join(work, 'kernel'),
        cacheDirectory: join(bootDirectory, '.cache'),
        compressionLevel: options.compressionLevel,
      },
      signal,
    )
    const facts: BootFacts = {
      ...{ image: image.name, version: image.version, kernel: kernel.version, parameters },
      madeAt: new Date(madeMs).toISOString(),
    }
    await writeFile(factsPath(draft), formatBootFacts(facts))
    await publish(draft, bootDirectory, image.name)
    return { facts, directory: join(bootDirectory, image.name), initramfsBytes: sizeBytes }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' }

/** The programs of the initramfs are this machine's. */
function checkArchitecture({ header }: KernelFiles): void {
  const own = ARCHITECTURES[process.arch]
  const { architecture } = header.source
  if (architecture === own) return
  throw new SiError(
    'ERR_SI_USAGE',
    `Cannot make an initramfs for ${architecture}: this machine is ${own ?? process.arch}`,
    { hint: `Run si-mkautoinstall on a machine with ${architecture} that has the repository` },
  )
}

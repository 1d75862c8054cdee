// What a deployment is asked to do, and what it reports.
import type { Progress } from '../core/core.ts'
import type { Trust } from '../pki/pki.ts'
import type { FinishChoices } from './finish/finish-plan.ts'
import type { FinishReport } from './finish/finish.ts'
import type { PeerSecurity } from '../swarm/swarm.ts'
import type { DeployPlan } from './plan.ts'
import type { ScriptOptions } from './scripts/script.ts'
import type { ScriptReport } from './scripts/scripts.ts'

export interface DeployOptions {
  /** Path or http URL. */
  readonly torrent: string
  /** Whose signature counts. */
  readonly trust: Trust
  /** TLS with peers, trackers and whoever gives the torrent. Left out: with nobody. */
  readonly security?: PeerSecurity | undefined
  /** The image it has to be; undefined: any that is trusted. */
  readonly expect?: ExpectedImage | undefined
  /** Laid over the image, in this order; signed as the image is. */
  readonly overrides?: readonly OverrideOptions[]
  readonly target:
    { readonly type: 'root'; readonly directory: string } | ({ readonly type: 'disk' } & DiskChoice)
  /** Announce URLs besides those in the torrent. */
  readonly trackers: readonly string[]
  /** `host:port` of peers to connect to at once. */
  readonly peers: readonly string[]
  /** URLs of web servers that have the image's files, besides those in the torrent. */
  readonly webSeeds?: readonly string[]
  readonly listenHost?: string
  /** 0: any free port. */
  readonly listenPort: number
  /** Name of the rack this machine stands in, so that trackers can prefer neighbours from it. */
  readonly rack?: string | undefined
  /** Look for peers on the local network, too (BEP 14). */
  readonly localDiscovery?: boolean
  /** How long to seed on when the tree is complete; Infinity: until aborted. */
  readonly seedForMs: number
  /** Leave out device nodes and hard links to them. */
  readonly withoutDevices?: boolean
  /** How the tree becomes a machine of its own; null: it stays as it is in the image. */
  readonly finish: FinishChoices | null
  /** Run as root on both sides of the installation; left out: none. */
  readonly scripts?: ScriptOptions
  /** Plan, and stop before anything is written. */
  readonly dryRun: boolean
  /** Worker threads, at least 1. */
  readonly threads: number
  /** Network threads, at least 1. */
  readonly lanes: number
  /** Memory for compressed pieces; undefined: half of what is free, leaving 512 MiB. */
  readonly pieceCacheBytes: number | undefined
  /** undefined: unlimited. */
  readonly uploadBytesPerSecond: number | undefined
  readonly downloadBytesPerSecond: number | undefined
}

/** Which disks, and what they are to hold. */
export interface DiskChoice {
  /** In the order of the layout's disks; none: its rules choose. */
  readonly devices: readonly string[]
  /** Text of a layout file, and what messages call it; undefined: the golden client's layout. */
  readonly layout?: { readonly file: string; readonly text: string } | undefined
}

export interface OverrideOptions {
  /** Path or http URL. */
  readonly torrent: string
  /** The image it has to be; undefined: any that is trusted. */
  readonly expect?: ExpectedImage | undefined
}

export interface ExpectedImage {
  readonly name: string
  /** undefined: any version. */
  readonly version: string | undefined
}

export interface DeployIo {
  readonly progress: Progress
  /** Called with the plan before anything is written, on a dry run too; throws to refuse it. */
  confirm(plan: DeployPlan): Promise<void>
  /** Opens a shell where a script failed, and settles with its exit status; left out: nobody is there to use one. */
  readonly shell?: ((reason: string) => Promise<number>) | undefined
  /** Called when the tree is complete and on the disk, still mounted in `directory`, before seeding on. */
  onComplete?(report: DeployReport, directory: string): void | Promise<void>
}

export interface DeployReport {
  readonly image: { readonly name: string; readonly version: string }
  /** From the start to the finished tree on the disk, without seeding on. */
  readonly durationMs: number
  readonly contentBytes: number
  readonly packBytes: number
  readonly fromServerBytes: number
  readonly fromPeersBytes: number
  readonly wastedBytes: number
  readonly badPieces: number
  /** Pieces that an interrupted deployment had written before. */
  readonly resumedPieces: number
  /** Entries of the tree, of all types. */
  readonly fileCount: number
  /** Name of the signer; null when nobody vouches for the image. */
  readonly signedBy: string | null
  readonly notes: readonly string[]
  readonly finishing: FinishReport['steps']
  readonly scripts: readonly ScriptReport[]
  /** What the machine needs or was asked for, and does not have; empty as a rule. */
  readonly leftOut: readonly string[]
}

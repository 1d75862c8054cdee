// One folder that is exported, with the sessions of its clients. A session outlives its connection for the
// time of its lease, and this process through what it has written down. What an earlier process left and
// nobody comes back for within a lease is taken away: files without names, locks, records of sessions.
import { createHash, createHmac } from 'node:crypto'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../core/core.ts'
import { type Identity } from '../../pki/pki.ts'
import { LockTable } from '../lock-table.ts'
import { LockJournal } from './lock-journal.ts'
import { type WireCaller } from '../wire/operations.ts'
import { checkRoom, type Rooms } from './limits.ts'
import { ObjectTable } from './object-table.ts'
import { createMirrorMember, type MirrorMember } from './mirror-handlers.ts'
import { OpenFiles } from './open-files.ts'
import { HIDDEN_FOLDER, Orphans } from './orphans.ts'
import { ServerSession, type Send } from './session.ts'
import { Turns } from './turns.ts'

export interface GridExport {
  readonly name: string
  readonly directory: string
  readonly isReadOnly: boolean
  readonly mapCaller: (caller: WireCaller) => WireCaller
  /** Whether a client with this certificate may use it. */
  readonly allows: (identity: Identity) => boolean
}

export interface ExportSite {
  /** Seals references; kept over restarts. */
  readonly key: Uint8Array
  /** Where sessions write down what must not be done twice. */
  readonly stateDirectory: string
  /** Of this boot of the machine. */
  readonly bootVerifier: Uint8Array
  /** How long a session is kept for a client that is away. */
  readonly leaseMs: number
  /** Descriptors of objects that are kept open. */
  readonly descriptors: number
  readonly rooms: Rooms
  readonly onNote: (text: string) => void
}

interface LeasedSession {
  readonly session: ServerSession
  /** Ends it when its client does not come back. */
  lease: NodeJS.Timeout | undefined
}

export class SharedExport {
  readonly objects: ObjectTable
  /** Another one when what was not synchronised may be lost: the machine has restarted, or the disk was mounted anew. */
  readonly verifier: Uint8Array
  /** May be others after gridfs.yaml was read again. */
  rules: GridExport
  readonly #site: ExportSite
  readonly #orphans: Orphans
  readonly #journal: LockJournal
  readonly #locks = new LockTable((file, held) => this.#journal.note(file, held))
  readonly #turns = new Turns()
  readonly #mirror: MirrorMember
  readonly #sessions = new Map<string, LeasedSession>()
  readonly #firstLease: NodeJS.Timeout

  constructor(rules: GridExport, site: ExportSite) {
    this.rules = rules
    this.#site = site
    const { directory, name } = rules
    const { key, descriptors, bootVerifier } = site
    this.objects = new ObjectTable({ directory, name, key, limit: descriptors })
    const mountId = String(this.objects.mountId)
    this.verifier = createHmac('sha256', bootVerifier).update(mountId).digest()
    this.#orphans = new Orphans(directory, this.objects)
    const boot = Buffer.from(this.verifier).toString('hex')
    this.#mirror = createMirrorMember(join(directory, HIDDEN_FOLDER), boot)
    this.#journal = new LockJournal(join(site.stateDirectory, locksName(name)))
    for (const [file, held] of this.#journal.restored()) this.#locks.restore(file, held)
    this.#firstLease = setTimeout(() => this.#dropUnclaimed(), site.leaseMs).unref()
  }

  get sessions(): number {
    return this.#sessions.size
  }

  /** The session of a client, which answers by `send` from now on. Throws ENFILE for one too many. */
  attach(identity: Identity, id: string, send: Send): { session: ServerSession; isKnown: boolean } {
    const client = `${identity.role}/${identity.name}`
    const key = `${client}/${id}`
    const known = this.#sessions.get(key)
    const leased = known ?? this.#begin(client, key)
    clearTimeout(leased.lease)
    leased.session.attach(send)
    return { session: leased.session, isKnown: known !== undefined }
  }

  /** The connection is gone: what the client holds stays for the time of a lease. */
  detach(session: ServerSession, send: Send): void {
    if (!session.detach(send)) return
    for (const [key, leased] of this.#sessions) {
      if (leased.session !== session) continue
      leased.lease = setTimeout(() => {
        this.#sessions.delete(key)
        session.end({ isForgotten: true })
      }, this.#site.leaseMs).unref()
    }
  }

  /** Names of the files in which its sessions write down what they do. */
  *records(): Generator<string> {
    for (const key of this.#sessions.keys()) yield recordsName(key)
  }

  /** What sessions have written down stays, for the next process. */
  close(): void {
    this.#journal.close()
    clearTimeout(this.#firstLease)
    for (const { session, lease } of this.#sessions.values()) {
      clearTimeout(lease)
      session.end({ isForgotten: false })
    }
    this.#sessions.clear()
    this.objects.close()
  }

  /** Of clients of the process before that have not come back. */
  #dropUnclaimed(): void {
    this.#orphans.dropUnclaimed()
    const present = [...this.#sessions.keys()].map((key) => `${key} `)
    this.#locks.releaseOwners((owner) => !present.some((begin) => owner.startsWith(begin)))
  }

  #begin(client: string, key: string): LeasedSession {
    const { rooms, stateDirectory, onNote } = this.#site
    const { sessions, openFiles } = rooms.of(client)
    checkRoom(sessions)
    const session: ServerSession = new ServerSession({
      context: {
        ...{ objects: this.objects, orphans: this.#orphans, locks: this.#locks },
        ...{ turns: this.#turns, mirror: this.#mirror, verifier: this.verifier },
        files: new OpenFiles(openFiles),
        mapCaller: (caller) => this.rules.mapCaller(caller),
        client: key,
        tell: (push) => {
          for (const other of this.#sessions.values()) {
            if (other.session !== session) other.session.push(push)
          }
        },
      },
      isReadOnly: () => this.rules.isReadOnly,
      slotsFile: join(stateDirectory, recordsName(key)),
      onEnd: () => sessions.giveBack(1),
      onFault: (error, name) => onNote(`fault in ${name}: ${messageOf(error)}`),
    })
    sessions.take(1)
    const leased: LeasedSession = { session, lease: undefined }
    this.#sessions.set(key, leased)
    return leased
  }
}

/** Takes away what sessions of an earlier process have written down and never came back for. */
export class ForgottenRecords {
  readonly #directory: string
  readonly #old: readonly string[]

  constructor(stateDirectory: string) {
    this.#directory = stateDirectory
    this.#old = readdirSync(stateDirectory).filter((name) => RECORDS.test(name))
  }

  /** After the first lease of this process. */
  drop(exports: Iterable<SharedExport>): void {
    const kept = new Set([...exports].flatMap((one) => [...one.records()]))
    for (const name of this.#old) {
      if (!kept.has(name)) rmSync(join(this.#directory, name), { force: true })
    }
  }
}

const RECORDS = /^[0-9a-f]{64}$/

function recordsName(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

function locksName(exportName: string): string {
  return `locks-${createHash('sha256').update(exportName).digest('hex').slice(0, 32)}`
}

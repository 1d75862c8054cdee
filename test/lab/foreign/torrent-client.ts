// BitTorrent clients as programs behind one interface: those that the bench compares and that the
// interoperability tests talk to. Invariant: a client finds peers through the tracker that its torrent
// names, by nothing else (no DHT, no local discovery, no uTP), and is gone with its scope.
import { type Scope } from '../scope.ts'

export interface TorrentClient {
  readonly name: string
  /** Throws ERR_SI_PROGRAM_MISSING, with the package to install as its hint. */
  requireInstalled(): Promise<void>
  /** Has the files checked and seeds them; resolves when it listens and knows that it has all. */
  seed(scope: Scope, task: ClientTask): Promise<ClientProcess>
  /** Downloads, then seeds; resolves when it listens. */
  get(scope: Scope, task: ClientTask): Promise<GettingClient>
}

export interface ClientTask {
  readonly torrentPath: string
  /** Where the torrent's folder is, or is to be; exists. */
  readonly directory: string
  /** An address of this machine: others reach the client there, and it connects from there if it can. */
  readonly host: string
  /** `plain` as far as the client can be told; `preferred`: connects encrypted, falls back to plain. */
  readonly encryption: 'plain' | 'preferred'
}

export interface ClientProcess {
  /** `host:port` */
  readonly address: string
  readonly pid: number
  /** Ends the program and waits until it has gone. Idempotent. */
  close(): Promise<void>
}

export interface GettingClient extends ClientProcess {
  /** Resolves when all pieces are there and verified; rejects when the program ends before. */
  readonly done: Promise<void>
}

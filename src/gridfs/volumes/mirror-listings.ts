// Names of folders of a mirror. Positions of a server mean nothing to another: a position given out here
// knows whose it is and what was listed before it, so that another server can go on with the rest.
import { asBuffer } from '../../core/core.ts'
import { FuseError } from '../fuse/errno.ts'
import { type CallOptions } from '../client/volume.ts'
import { type WireReplyOf, type WireRequestOf } from '../wire/operations.ts'
import { type Member } from './member.ts'
import { type MirrorAnswers } from './mirror-answers.ts'
import { type MirrorFiles } from './mirror-files.ts'
import { type MirrorObjects } from './mirror-objects.ts'

interface Listing {
  /** Of the server that was read last. */
  readonly index: number
  readonly position: bigint
  /** Names in latin1. */
  readonly listed: Set<string>
}

interface ListingSite {
  readonly objects: MirrorObjects
  readonly files: MirrorFiles
  readonly answers: MirrorAnswers
}

/** Listings that nobody came back to are dropped. */
const LIMIT = 1024
const START = 0n

export class MirrorListings {
  readonly #site: ListingSite
  readonly #listings = new Map<bigint, Listing>()
  #last = START

  constructor(site: ListingSite) {
    this.#site = site
  }

  /** Throws ESTALE for a position that was dropped, ENOTCONN when the member is lost: another goes on. */
  async listOn(
    member: Member,
    request: WireRequestOf<'readdir'>,
    options: CallOptions,
  ): Promise<WireReplyOf<'readdir'>> {
    const { position, hasAttributes } = request
    const { objects, files, answers } = this.#site
    const begun = this.#listings.get(position)
    if (begun === undefined && position !== START) throw new FuseError('ESTALE')
    const listed = begun?.listed ?? new Set<string>()
    const parent = objects.get(request.reference)
    const reference = await files.reference(parent, member)
    let from = begun?.index === member.index ? begun.position : START
    for (;;) {
      const wanted = { reference, position: from, hasAttributes }
      const { entries, next } = (await member.ask('readdir', wanted, options)).reply
      if (entries.length === 0) return { entries, next: position }
      from = next
      const fresh = entries.filter(({ name }) => !listed.has(asBuffer(name).toString('latin1')))
      if (fresh.length === 0) continue
      for (const { name } of fresh) listed.add(asBuffer(name).toString('latin1'))
      return {
        entries: fresh.map((entry) => answers.entry(member.index, parent, entry)),
        next: this.#give({ index: member.index, position: next, listed }, position),
      }
    }
  }

  #give(listing: Listing, before: bigint): bigint {
    this.#listings.delete(before)
    this.#last += 1n
    this.#listings.set(this.#last, listing)
    for (const oldest of this.#listings.keys()) {
      if (this.#listings.size <= LIMIT) break
      this.#listings.delete(oldest)
    }
    return this.#last
  }
}

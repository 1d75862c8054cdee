// The web seeds of one torrent. Invariant: their keys are negative, so that no peer ever has the same.
import { type PeerKey } from '../begun-piece.ts'
import { WebSeed, type WebSeedOptions } from './web-seed.ts'

export class WebSeeds {
  readonly #byKey = new Map<PeerKey, WebSeed>()

  /** One per URL, in which all options but the key and the URL are the same. */
  constructor(urls: readonly string[], options: Omit<WebSeedOptions, 'key' | 'url'>) {
    for (const [index, url] of [...new Set(urls)].entries()) {
      const key = -1 - index
      this.#byKey.set(key, new WebSeed({ ...options, key, url }))
    }
  }

  get size(): number {
    return this.#byKey.size
  }

  [Symbol.iterator](): IterableIterator<WebSeed> {
    return this.#byKey.values()
  }

  get(key: PeerKey): WebSeed | undefined {
    return this.#byKey.get(key)
  }

  /** It sends wrong bytes: nothing is asked of it any more. */
  ban(key: PeerKey): void {
    this.#byKey.get(key)?.close()
    this.#byKey.delete(key)
  }

  close(): void {
    for (const key of [...this.#byKey.keys()]) this.ban(key)
  }
}

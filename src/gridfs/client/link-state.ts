// Whether a server is there, and since when: for people who ask how a mount is.

export interface MemberState {
  /** `SERVER:PORT:/EXPORT` */
  readonly name: string
  readonly isUp: boolean
  /** Of a mirror: whether it has missed nothing. */
  readonly isClean: boolean
  /** Since when it is there, or away: milliseconds since 1970. */
  readonly sinceMs: number
  /** How often it was lost. */
  readonly losses: number
}

export class LinkState {
  #isUp = false
  #sinceMs = Date.now()
  #losses = 0

  up(): void {
    this.#isUp = true
    this.#sinceMs = Date.now()
  }

  down(): void {
    if (!this.#isUp) return
    this.#isUp = false
    this.#losses += 1
    this.#sinceMs = Date.now()
  }

  show(name: string, isClean = true): MemberState {
    return { name, isUp: this.#isUp, isClean, sinceMs: this.#sinceMs, losses: this.#losses }
  }
}

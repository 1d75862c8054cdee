// What a checked piece says about who sent it. Invariant: only who alone sent a wrong piece is banned; of
// several each fetches alone from then on, which clears the honest ones. States: STATE.md.
import { type PeerKey } from '../begun-piece.ts'

export interface Sender {
  readonly address: string
  isOnParole: boolean
}

export interface Court {
  /** undefined when it is gone. */
  readonly senderOf: (key: PeerKey) => Sender | undefined
  readonly ban: (key: PeerKey) => void
  readonly onNote: (text: string) => void
}

/** The piece is good: a suspect that sent all of it has told the truth this time. */
export function clearSender(contributors: ReadonlySet<PeerKey>, court: Court): void {
  const [key] = contributors
  const sender = key === undefined ? undefined : court.senderOf(key)
  if (contributors.size === 1 && sender !== undefined) sender.isOnParole = false
}

/** The piece is wrong. */
export function accuseSenders(
  pieceIndex: number,
  contributors: ReadonlySet<PeerKey>,
  { senderOf, ban, onNote }: Court,
): void {
  const [key] = contributors
  if (contributors.size === 1 && key !== undefined) {
    const address = senderOf(key)?.address ?? 'a peer that is gone'
    onNote(`Piece ${pieceIndex} from ${address} was wrong; that peer is dropped`)
    return ban(key)
  }
  onNote(`Piece ${pieceIndex} was wrong; the ${contributors.size} peers that sent it are watched`)
  for (const contributor of contributors) {
    const sender = senderOf(contributor)
    if (sender !== undefined) sender.isOnParole = true
  }
}

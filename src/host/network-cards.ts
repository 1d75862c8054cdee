// Network cards of this machine (sysfs-class-net ABI).
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface NetworkCard {
  readonly name: string
  /** Lower case, with colons. */
  readonly mac: string
  /** Whether a cable leads to something that is switched on. */
  readonly isConnected: boolean
}

const ETHERNET = '1' // ARPHRD_ETHER of <linux/if_arp.h>

/** Wired and radio cards of hardware or of a virtual machine; no bridges, tunnels and the like. */
export async function readNetworkCards(folder = '/sys/class/net'): Promise<readonly NetworkCard[]> {
  const cards: NetworkCard[] = []
  for (const name of (await readdir(folder)).sort()) {
    const read = async (file: string) =>
      (await readFile(join(folder, name, file), 'utf8').catch(() => '')).trim()
    if (!existsSync(join(folder, name, 'device')) || (await read('type')) !== ETHERNET) continue
    const isConnected = (await read('carrier')) === '1'
    cards.push({ name, mac: (await read('address')).toLowerCase(), isConnected })
  }
  return cards
}

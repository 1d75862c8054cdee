// Boot entries of UEFI firmware as efibootmgr(8) lists them; pure.

export interface EfiEntries {
  /** Four hexadecimal digits, such as 0003; null when the firmware does not tell. */
  readonly current: string | null
  readonly order: readonly string[]
  readonly labels: ReadonlyMap<string, string>
}

export function parseEfiEntries(text: string): EfiEntries {
  const labels = new Map<string, string>()
  let current: string | null = null
  let order: readonly string[] = []
  for (const line of text.split('\n')) {
    const entry = /^Boot([0-9A-F]{4})[* ] ([^\t]*)/i.exec(line)
    // Older versions separate the label from the device path by a tab, print the label alone otherwise.
    if (entry?.[1] !== undefined) labels.set(entry[1].toUpperCase(), (entry[2] ?? '').trim())
    current = /^BootCurrent: ([0-9A-F]{4})/i.exec(line)?.[1]?.toUpperCase() ?? current
    const list = /^BootOrder: ([0-9A-F,]+)/i.exec(line)?.[1]
    if (list !== undefined) order = list.toUpperCase().split(',')
  }
  return { current, order, labels }
}

/**
 * The boot order with new entries: behind the one that this machine was booted by, so that a machine which
 * boots from the network asks there again next time; first when it is not in the order.
 */
export function orderWith(entries: EfiEntries, added: readonly string[]): readonly string[] {
  const others = entries.order.filter((number) => !added.includes(number))
  const at = entries.current === null ? 0 : others.indexOf(entries.current) + 1
  return [...others.slice(0, at), ...added, ...others.slice(at)]
}

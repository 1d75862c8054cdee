// A network for one process and its children: nothing but a loopback interface with a second range of
// addresses, since some clients never talk to 127/8. It is gone with the process.

/** An address of that network; `host` is 1 to 254, and 1 where no other was bound. */
export function ownAddress(host = 1): string {
  return `10.77.0.${host}`
}

const SCRIPT = `
  ip link set lo up
  ip address add ${ownAddress()}/24 dev lo
  exec "$@"
`

/** Program and arguments that run `command` there; the process is the command's own. Needs root. */
export function inOwnNetwork(
  command: readonly string[],
): [program: string, args: readonly string[]] {
  return ['unshare', ['--net', '--', 'sh', '-euc', SCRIPT, 'sh', ...command]]
}

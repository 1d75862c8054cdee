// A network for one process and its children: nothing but a loopback interface that has one more address,
// since some clients never talk to 127/8. It is gone with the process.

/** An address of that network. */
export const OWN_ADDRESS = '10.77.0.1'

const SCRIPT = `
  ip link set lo up
  ip address add ${OWN_ADDRESS}/32 dev lo
  exec "$@"
`

/** Program and arguments that run `command` there; the process is the command's own. Needs root. */
export function inOwnNetwork(
  command: readonly string[],
): [program: string, args: readonly string[]] {
  return ['unshare', ['--net', '--', 'sh', '-euc', SCRIPT, 'sh', ...command]]
}

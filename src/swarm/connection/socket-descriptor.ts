// The number by which the kernel knows a socket of Node's.
import { type Server, type Socket } from 'node:net'

/**
 * The descriptor of an open socket or listener. It is no part of Node's public interface: a version that
 * has none gets along without what needs it (the kernel's own limits, sockets on one thread, payload that goes
 * between kernel and file or slab without a copy).
 */
export function descriptorOf(socket: Socket | Server): number | undefined {
  const { _handle: handle } = socket as { readonly _handle?: { readonly fd?: unknown } | null }
  const fd = handle?.fd
  return typeof fd === 'number' && fd >= 0 ? fd : undefined
}

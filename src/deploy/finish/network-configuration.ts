// The network of one machine, independent of the program that configures it there. Invariant: addresses,
// gateways and name servers are addresses, names of interfaces are such as Linux takes.
import { isIP } from 'node:net'
import { z } from 'zod'
import { closedObject } from '../../config/config.ts'

export interface NetworkInterface {
  /** Of the kernel, such as eth0; needed unless `mac` is given. */
  readonly name?: string | undefined
  /** `52:54:00:12:34:56`, lower case. */
  readonly mac?: string | undefined
  /** `10.0.0.5/24` …, IPv4 or IPv6. */
  readonly addresses: readonly string[] | 'dhcp'
  readonly gateway?: string | undefined
  readonly nameServers: readonly string[]
  readonly searchDomains: readonly string[]
}

export interface NetworkConfiguration {
  readonly interfaces: readonly NetworkInterface[]
}

/** The longest name that Linux takes (IFNAMSIZ); no blank, slash or colon. */
const interfaceName = z
  .string()
  .regex(/^(?!\.{1,2}$)[\w.@-]{1,15}$/, 'is no name of a network interface')

const macAddress = z
  .string()
  .regex(/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i, 'is no MAC address such as 52:54:00:12:34:56')
  .transform((text) => text.toLowerCase().replaceAll('-', ':'))

const address = z.string().refine((text) => isIP(text) !== 0, 'is no IP address')

const addressWithPrefix = z
  .string()
  .refine(isAddressWithPrefix, 'is no address with a prefix length, such as 10.0.0.5/24')

const domain = z
  .string()
  .regex(/^[a-z0-9_]([\w-]*[a-z0-9_])?(\.[a-z0-9_]([\w-]*[a-z0-9_])?)*\.?$/i, 'is no domain')

const interfaceSchema = closedObject({
  name: interfaceName.optional(),
  mac: macAddress.optional(),
  addresses: z.union([z.literal('dhcp'), z.array(addressWithPrefix).min(1)]),
  gateway: address.optional(),
  nameServers: z.array(address).default([]),
  searchDomains: z.array(domain).default([]),
}).refine(({ name, mac }) => name !== undefined || mac !== undefined, 'needs a name or a mac')

/** Fills in what may be left out. */
export const networkSchema: z.ZodType<NetworkConfiguration> = closedObject({
  interfaces: z.array(interfaceSchema).min(1),
})

function isAddressWithPrefix(text: string): boolean {
  const [ip = '', prefix = '', ...more] = text.split('/')
  const family = isIP(ip)
  if (family === 0 || more.length > 0 || !/^\d{1,3}$/.test(prefix)) return false
  return Number(prefix) <= (family === 4 ? 32 : 128)
}

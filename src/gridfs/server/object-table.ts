// The objects of an export: a reference for the wire, an O_PATH descriptor here. A reference is the file
// handle of the kernel with a seal of ours, so it outlives renames and this process, and nobody can make
// one up. Invariant: what is opened by a reference was found by a lookup below the export's root.
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, type BigIntStats } from 'node:fs'
import { asBuffer } from '../../core/core.ts'
import {
  fileHandleOf,
  linkDescriptor,
  mountIdOf,
  openFileHandle,
  openIfThere,
} from '../../host/host.ts'
import { FuseError } from '../fuse/errno.ts'
import { type Found, type WireAttributes } from '../wire/operations.ts'

export interface ObjectTableOptions {
  /** The folder that is exported. */
  readonly directory: string
  /** Seals references; the same after a restart, and known to nobody else. */
  readonly key: Uint8Array
  /** Different for each export of a key. */
  readonly name: string
  /** Descriptors that are kept open. */
  readonly limit: number
}

const SEAL_BYTES = 12
/** Node has no name for it; the number of every architecture of Node 24. */
const O_PATH = 0o10000000
const O_CLOEXEC = 0o2000000
const LOOKED_AT = O_PATH | constants.O_NOFOLLOW | O_CLOEXEC

export class ObjectTable {
  readonly root: Buffer
  readonly #options: ObjectTableOptions
  /** Opens handles; keeps the file system mounted. */
  readonly #rootFd: number
  readonly #device: bigint
  readonly #key: KeyObject
  /** In the order of their last use. By reference in latin1. */
  readonly #descriptors = new Map<string, number>()
  #isClosed = false

  constructor(options: ObjectTableOptions) {
    this.#options = options
    this.#key = createSecretKey(options.key)
    this.#rootFd = openSync(options.directory, constants.O_RDONLY | constants.O_DIRECTORY)
    this.#device = fstatSync(this.#rootFd, { bigint: true }).dev
    this.root = this.#seal(fileHandleOf(this.#rootFd))
  }

  /** All references are stale from now on. */
  /** Of the mount that all objects are on; undefined where the kernel does not tell mounts apart. */
  get mountId(): bigint | undefined {
    return mountIdOf(this.#rootFd)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const fd of this.#descriptors.values()) closeSync(fd)
    this.#descriptors.clear()
    closeSync(this.#rootFd)
  }

  /** An O_PATH descriptor; valid until the next call. Throws ESTALE for what is no more, or is not ours. */
  descriptor(reference: Uint8Array): number {
    if (this.#isClosed) throw new FuseError('ESTALE')
    const key = latin1(reference)
    const known = this.#descriptors.get(key)
    if (known !== undefined) {
      this.#descriptors.delete(key)
      this.#descriptors.set(key, known)
      return known
    }
    const fd = openFileHandle(this.#rootFd, this.#unseal(reference), LOOKED_AT)
    this.#remember(key, fd)
    return fd
  }

  /** The path that leads to an object, through its descriptor. */
  path(reference: Uint8Array): string {
    return `/proc/self/fd/${this.descriptor(reference)}`
  }

  /** The path of a name in a folder. Throws EINVAL for what is no name. */
  pathOf(parent: Uint8Array, name: Uint8Array): Buffer {
    if (!isName(name)) throw new FuseError('EINVAL')
    return Buffer.concat([Buffer.from(`${this.path(parent)}/`), name])
  }

  /** What a name leads to. Throws ENOENT …, EXDEV for another file system mounted there. */
  find(parent: Uint8Array, name: Uint8Array): Found {
    const found = this.findIfThere(parent, name)
    if (found === undefined) throw new FuseError('ENOENT')
    return found
  }

  /** As `find`; undefined for ENOENT. */
  findIfThere(parent: Uint8Array, name: Uint8Array): Found | undefined {
    const fd = openIfThere(this.pathOf(parent, name), LOOKED_AT)
    return fd === undefined ? undefined : this.#adopt(fd)
  }

  /** What a name in an open folder leads to, when it is still there and in this file system. */
  look(folderFd: number, name: Buffer): Found | undefined {
    const path = Buffer.concat([Buffer.from(`/proc/self/fd/${folderFd}/`), name])
    const fd = openIfThere(path, LOOKED_AT)
    if (fd === undefined) return undefined
    try {
      const status = fstatSync(fd, { bigint: true })
      return status.dev === this.#device ? this.foundBy(fd, status) : undefined
    } finally {
      closeSync(fd)
    }
  }

  /** An object of the export by its path here. */
  adoptPath(path: string): Found {
    return this.#adopt(openSync(path, LOOKED_AT))
  }

  /** Gives an object another name. */
  link(reference: Uint8Array, to: Buffer): void {
    linkDescriptor(this.descriptor(reference), to)
  }

  /** What a lookup of an open file would say. */
  foundBy(fd: number, status = fstatSync(fd, { bigint: true })): Found {
    return { reference: this.#seal(fileHandleOf(fd)), attributes: toAttributes(status) }
  }

  attributes(reference: Uint8Array): WireAttributes {
    return toAttributes(fstatSync(this.descriptor(reference), { bigint: true }))
  }

  #adopt(fd: number): Found {
    try {
      const status = fstatSync(fd, { bigint: true })
      if (status.dev !== this.#device) throw new FuseError('EXDEV')
      const found = this.foundBy(fd, status)
      const key = latin1(found.reference)
      if (this.#descriptors.has(key)) closeSync(fd)
      else this.#remember(key, fd)
      return found
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  #remember(key: string, fd: number): void {
    this.#descriptors.set(key, fd)
    if (this.#descriptors.size <= this.#options.limit) return
    for (const [oldest, descriptor] of this.#descriptors) {
      this.#descriptors.delete(oldest)
      closeSync(descriptor)
      return
    }
  }

  #seal(handle: Buffer): Buffer {
    return Buffer.concat([handle, this.#sealOf(handle)])
  }

  #unseal(reference: Uint8Array): Uint8Array {
    const length = reference.length - SEAL_BYTES
    if (length < 4) throw new FuseError('ESTALE')
    const handle = reference.subarray(0, length)
    if (!timingSafeEqual(this.#sealOf(handle), reference.subarray(length))) {
      throw new FuseError('ESTALE')
    }
    return handle
  }

  #sealOf(handle: Uint8Array): Buffer {
    const hmac = createHmac('sha256', this.#key).update(`${this.#options.name}\0`)
    const seal = hmac.update(handle).digest()
    return seal.subarray(0, SEAL_BYTES)
  }
}

/** One component of a path that stays in its folder. */
function isName(name: Uint8Array): boolean {
  if (name.length === 0 || name.includes(0) || name.includes(SLASH)) return false
  return !(name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT)))
}

const SLASH = 0x2f
const DOT = 0x2e

export function latin1(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1')
}

function toAttributes(status: BigIntStats): WireAttributes {
  const [major, minor] = [Number((status.rdev >> 8n) & 0xfffn), minorOf(status.rdev)]
  return {
    ...{ inode: status.ino, sizeBytes: Number(status.size), blocks: Number(status.blocks) },
    accessedNs: status.atimeNs,
    modifiedNs: status.mtimeNs,
    changedNs: status.ctimeNs,
    ...{ mode: Number(status.mode), linkCount: Number(status.nlink) },
    ...{ uid: Number(status.uid), gid: Number(status.gid) },
    device: (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12),
    blockSizeBytes: Number(status.blksize),
  }
}

function minorOf(device: bigint): number {
  return Number((device & 0xffn) | ((device >> 12n) & 0xffff_ff00n))
}

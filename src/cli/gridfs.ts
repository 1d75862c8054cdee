// si-gridfs: folders of one machine as file systems of others.
import type { Command } from 'commander'
import { createCommand, type Outcome } from './command.ts'
import { createHeal } from './gridfs-heal.ts'
import { createMount, createMountWorker, GRID_PORT } from './gridfs-mount.ts'
import { createMountHelper } from './gridfs-mount-helper.ts'
import { createGridfsServe } from './gridfs-serve.ts'
import { createGridfsStatus } from './gridfs-status.ts'
import type { Io } from './io.ts'

export function createGridfsCommand(io: Io, outcome: Outcome): Command {
  const command = createCommand({
    name: 'gridfs',
    summary: 'Share folders between machines as file systems, over mutual TLS',
    examples: [
      'si-gridfs serve                                     what gridfs.yaml exports',
      'si-gridfs mount server:/images /mnt/images          until Ctrl-C, or umount /mnt/images',
      'si-gridfs mount a,b,c:/images /mnt/images           three servers that hold the same',
    ],
    exitCodes: [0, 1, 2, 13],
  })
  return command
    .addCommand(createGridfsServe(io, GRID_PORT))
    .addCommand(createMount(io, outcome))
    .addCommand(createHeal(io, GRID_PORT))
    .addCommand(createGridfsStatus(io))
    .addCommand(createMountWorker(io), { hidden: true })
    .addCommand(createMountHelper(io, outcome), { hidden: true })
}

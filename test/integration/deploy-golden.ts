// The golden tree of deployments that are cut off, as an image for a disk of one partition, and who seeds it.
import { join } from 'node:path'
import type { DiskLayout } from '../../src/image/image.ts'
import { writeBulkContent, writeNastyContent } from '../lab/golden-content.ts'
import { type Scope } from '../lab/scope.ts'
import { makeSampleImage, seedSample, type SampleImage } from './deploy-sample.ts'

const MIB = 2 ** 20

/** Of the disk that LAYOUT fits. */
export const DISK_BYTES = 256 * MIB
export const PIECE_BYTES = 256 * 1024

const LAYOUT: DiskLayout = {
  disks: [
    {
      ...{ name: 'sda', sizeBytes: 200 * MIB, sectorBytes: 512, label: 'gpt' },
      partitions: [
        {
          ...{ number: 1, startBytes: MIB, sizeBytes: 198 * MIB, bootable: false, attributes: '' },
          ...{ typeCode: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', name: '' },
          uuid: '11111111-aaaa-4bbb-8ccc-111111111111',
          fileSystem: {
            ...{ type: 'ext4', uuid: '22222222-aaaa-4bbb-8ccc-222222222222', label: '' },
            ...{ mountPoint: '/', mountOptions: '', usedBytes: 60 * MIB },
          },
        },
      ],
    },
  ],
}

export interface Golden {
  readonly tree: string
  readonly image: SampleImage
}

/** Hard cases, and data that does not compress. Needs root. */
export async function makeGolden(scope: Scope): Promise<Golden> {
  const tree = join(scope.directory, 'golden')
  await writeNastyContent(scope, tree)
  await writeBulkContent(join(tree, 'bulk'))
  const directory = join(scope.directory, 'image')
  const pieceLengthBytes = PIECE_BYTES
  return {
    tree,
    image: await makeSampleImage({ tree, directory, layout: LAYOUT, pieceLengthBytes }),
  }
}

/** Addresses for DeployOptions.peers; `stopAfterPieces` as in seedSample(). */
export async function seed(
  scope: Scope,
  image: SampleImage,
  stopAfterPieces?: number,
): Promise<readonly string[]> {
  const seeder = await seedSample(image, stopAfterPieces === undefined ? {} : { stopAfterPieces })
  scope.defer('seeder', () => seeder.close())
  return [seeder.address]
}

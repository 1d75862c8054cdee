// Everything that one node needs to know to install itself, as JSON: what the server answers to a node.
import * as z from 'zod'
import { networkSchema } from '../deploy/deploy.ts'
import { AFTER_INSTALL_CHOICES, BOOT_CHOICES, SCRIPT_FAILURE_CHOICES } from './settings.ts'

/** Name and text of a script that the node runs as root. */
const script = z.strictObject({ name: z.string().min(1), text: z.string() })

export const nodeConfigurationSchema = z.strictObject({
  host: z.string(),
  /** `NAME` or `NAME/VERSION`. */
  image: z.string(),
  /** Groups of the host, outer ones first. */
  groups: z.array(z.string()),
  /** YAML; null: as on the golden client. */
  layout: z.string().nullable(),
  /** null: as in the image. */
  network: networkSchema.nullable(),
  /** Images to lay over the first one, in this order. */
  overrides: z.array(z.string()),
  preInstall: z.array(script),
  postInstall: z.array(script),
  /** For each script; null: none. */
  scriptTimeLimitMs: z.number().positive().nullable(),
  onScriptFailure: z.enum(SCRIPT_FAILURE_CHOICES),
  afterInstall: z.enum(AFTER_INSTALL_CHOICES),
  boot: z.enum(BOOT_CHOICES),
  parameters: z.record(z.string(), z.string()),
})

export type NodeConfiguration = z.infer<typeof nodeConfigurationSchema>

/** What `GET /v1/node` answers: the configuration, and where the torrents are. */
export const nodeAnswerSchema = nodeConfigurationSchema.extend({
  /** null: the server has no such image. */
  torrent: z.string().nullable(),
  /** As `overrides`, one each. */
  overrideTorrents: z.array(z.string().nullable()),
  /** As in the question. */
  nonce: z.string(),
})

export type NodeAnswer = z.infer<typeof nodeAnswerSchema>

// A deployment in a process of its own, to be killed. Argument: DeployOptions as JSON.
import { silentProgress } from '../../src/core/core.ts'
import { deploy, type DeployOptions } from '../../src/deploy/deploy.ts'

const options = JSON.parse(process.argv[2] ?? '') as DeployOptions
const io = { progress: silentProgress, confirm: () => Promise.resolve() }
await deploy(options, io, new AbortController().signal)

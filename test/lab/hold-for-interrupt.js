// Makes one of each thing a scope can hold, prints the id of the scope, and waits to be interrupted.
// Started by the test of clean-up.
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { isSiError, messageOf } from "../../src/core/core.js";
import { run } from "../../src/host/host.js";
import * as lab from "./lab.js";
try {
    await lab.withScope(async (scope) => {
        const network = await lab.createNetwork(scope, { hosts: ['alone'] });
        const disk = await lab.createLoopDisk(scope, { name: 'disk', sizeBytes: 64 * 2 ** 20 });
        await run('mkfs.ext4', ['-q', disk.device]);
        await lab.mountDevice(scope, { device: disk.device, at: join(scope.directory, 'mounted') });
        lab.startOnHost(scope, network('alone'), { program: 'sleep', args: ['1000'] });
        process.stdout.write(`${scope.id}\n`);
        await delay(60_000, undefined, { signal: scope.signal });
    });
}
catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = isSiError(error, 'ERR_SI_ABORTED') ? 130 : 1;
}

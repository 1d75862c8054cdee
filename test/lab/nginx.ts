// nginx as a plain web server over one folder, in the foreground, with a configuration of its own.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from './foreign/client-program.ts'
import { startInLab } from './lab-program.ts'
import { waitFor, type Scope } from './scope.ts'

export interface Nginx {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string
  /** Lines of its access log: `STATUS BYTES URI RANGE`. */
  accesses(): Promise<readonly string[]>
}

const READY_MS = 20_000

/** Serves the files below `root`; gone with the scope. */
export async function startNginx(scope: Scope, root: string): Promise<Nginx> {
  const prefix = join(scope.directory, 'nginx')
  await mkdir(prefix)
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const log = join(prefix, 'access.log')
  const configuration = `
    daemon off;
    master_process off;
    pid ${prefix}/pid;
    error_log stderr;
    events {}
    http {
      log_format short '$status $body_bytes_sent $uri $http_range';
      access_log ${log} short;
      client_body_temp_path ${prefix}/body;
      sendfile on;
      tcp_nopush on;
      server {
        listen 127.0.0.1:${port};
        root ${root};
      }
    }`
  await writeFile(join(prefix, 'nginx.conf'), configuration)
  const args = ['-p', prefix, '-c', join(prefix, 'nginx.conf'), '-e', 'stderr']
  const nginx = startInLab(scope, 'nginx', { program: 'nginx', args })
  const ended = nginx.exited.then((status) => {
    throw new Error(`nginx ended with ${status}: ${nginx.lastWords()}`)
  })
  const isUp = () =>
    fetch(origin).then(
      (answer) => answer.text(),
      () => undefined,
    )
  const up = waitFor('nginx: an answer', async () => (await isUp()) !== undefined, {
    ...{ deadlineMs: READY_MS, signal: scope.signal },
  })
  await Promise.race([up, ended])
  const accesses = async () => (await readFile(log, 'utf8')).trim().split('\n')
  return { origin, accesses }
}

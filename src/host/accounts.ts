// Users and groups by name, from wherever this machine knows them: files, LDAP, sssd (getent(1)).
import { run } from './program.ts'

/** The number of a user or a group; undefined when there is none of this name. */
export async function findAccount(
  kind: 'user' | 'group',
  name: string,
): Promise<number | undefined> {
  const database = kind === 'user' ? 'passwd' : 'group'
  const { stdout } = await run('getent', [database, '--', name], { okExitCodes: [0, 2] })
  const id = stdout.split('\n')[0]?.split(':')[2]
  return id === undefined || id === '' ? undefined : Number(id)
}

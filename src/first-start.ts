/** The data folder and its secrets: made at the first start, read at every later one. Only the server's own user may read them. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/environment.ts'

export interface SigningKey {
  readonly kid: string
  readonly secret: string
}

export interface Secrets {
  readonly adminKey: string
  /** Made just now, so the operator has to be told it once. */
  readonly adminKeyIsNew: boolean
  /** The shell words that give the admin key on this machine, for the printed `curl` line. */
  readonly adminKeyInShell: string
  /** The first signs, all verify. */
  readonly signingKeys: readonly [SigningKey, ...SigningKey[]]
}

const OWNER_ONLY_FILE = 0o600
const OWNER_ONLY_FOLDER = 0o700

/** 128 random bits for the admin key, 256 for HMAC-SHA256 (RFC 2104 §3: as long as the hash). */
const ADMIN_KEY_BYTES = 16
const SIGNING_KEY_BYTES = 32

/** @throws Error when the data folder cannot be made or read. */
export const openSecrets = async (
  config: Pick<Config, 'ORIEL_DATA' | 'ORIEL_ADMIN_KEY' | 'ORIEL_SIGNING_KEYS'>,
): Promise<Secrets> => {
  await mkdir(config.ORIEL_DATA, { recursive: true, mode: OWNER_ONLY_FOLDER })
  const adminFile = join(config.ORIEL_DATA, 'admin-key')
  const admin = config.ORIEL_ADMIN_KEY
    ? { text: config.ORIEL_ADMIN_KEY, isNew: false }
    : await readOrMake(adminFile, () => `ok_${randomBytes(ADMIN_KEY_BYTES).toString('base64url')}`)
  const signing =
    config.ORIEL_SIGNING_KEYS ??
    parseKeyFile((await readOrMake(join(config.ORIEL_DATA, 'signing-keys'), makeSigningKey)).text)
  const [first, ...rest] = signing
  if (!first) throw new Error(`no signing key in ${join(config.ORIEL_DATA, 'signing-keys')}`)
  return {
    adminKey: admin.text,
    adminKeyIsNew: admin.isNew,
    adminKeyInShell: config.ORIEL_ADMIN_KEY ? '$ORIEL_ADMIN_KEY' : `$(cat ${adminFile})`,
    signingKeys: [first, ...rest],
  }
}

const makeSigningKey = (): string => `k1:${randomBytes(SIGNING_KEY_BYTES).toString('base64url')}`

/** One `kid:secret` a line. */
const parseKeyFile = (text: string): readonly SigningKey[] =>
  text.split('\n').flatMap((line) => {
    const [, kid, secret] = /^([\w.-]{1,32}):(\S{16,})$/.exec(line.trim()) ?? []
    return kid && secret ? [{ kid, secret }] : []
  })

const readOrMake = async (path: string, make: () => string): Promise<{ text: string; isNew: boolean }> => {
  try {
    await using file = await open(path, 'wx', OWNER_ONLY_FILE)
    const text = make()
    await file.writeFile(`${text}\n`)
    await file.sync()
    return { text, isNew: true }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return { text: (await readFile(path, 'utf8')).trim(), isNew: false }
  }
}

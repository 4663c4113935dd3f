/** The data folder and its secrets: made at the first start, read at every later one. Only the server's own user may read them. */
import { randomBytes, randomUUID } from 'node:crypto'
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Config } from '../config/environment.ts'
import { errorCode, syncFolder } from './blobs/folders.ts'

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

/** The same bound as for secrets from the environment (`config/`): shorter is a file cut short, or a secret to be guessed. */
const MIN_SECRET_CHARS = 16

/** @throws Error when the data folder cannot be made or read, or a secret in it is none; it names the file. */
export const openSecrets = async (
  config: Pick<Config, 'ORIEL_DATA' | 'ORIEL_ADMIN_KEY' | 'ORIEL_SIGNING_KEYS'>,
): Promise<Secrets> => {
  await mkdir(config.ORIEL_DATA, { recursive: true, mode: OWNER_ONLY_FOLDER })
  const adminFile = join(config.ORIEL_DATA, 'admin-key')
  const admin = config.ORIEL_ADMIN_KEY
    ? { text: config.ORIEL_ADMIN_KEY, isNew: false }
    : await readOrMake(adminFile, makeAdminKey)
  if (admin.text.length < MIN_SECRET_CHARS)
    throw new Error(
      `the admin key in ${adminFile} has under ${MIN_SECRET_CHARS} characters; empty the file for a new one`,
    )
  const keyFile = join(config.ORIEL_DATA, 'signing-keys')
  const signing = config.ORIEL_SIGNING_KEYS ?? parseKeyFile((await readOrMake(keyFile, makeSigningKey)).text)
  const [first, ...rest] = signing
  if (!first)
    throw new Error(
      `no line kid:secret, the secret of ${MIN_SECRET_CHARS} characters or more, in ${keyFile}; empty the file for a new key`,
    )
  return {
    adminKey: admin.text,
    adminKeyIsNew: admin.isNew,
    adminKeyInShell: config.ORIEL_ADMIN_KEY ? '$ORIEL_ADMIN_KEY' : `$(cat ${adminFile})`,
    signingKeys: [first, ...rest],
  }
}

const makeAdminKey = (): string => `ok_${randomBytes(ADMIN_KEY_BYTES).toString('base64url')}`

const makeSigningKey = (): string => `k1:${randomBytes(SIGNING_KEY_BYTES).toString('base64url')}`

/** One `kid:secret` a line. */
export const parseKeyFile = (text: string): readonly SigningKey[] =>
  text.split('\n').flatMap((line) => {
    const [, kid, secret] = /^([\w.-]{1,32}):(\S{16,})$/.exec(line.trim()) ?? []
    return kid && secret ? [{ kid, secret }] : []
  })

/** Whole or absent: a process killed while it makes one leaves nothing that a later start would take for a secret. */
const readOrMake = async (path: string, make: () => string): Promise<{ text: string; isNew: boolean }> => {
  const kept = await readIfAny(path)
  // A file without content holds no secret, whatever made it: it gives way.
  if (kept) return { text: kept, isNew: false }
  const text = make()
  const draft = `${path}.${randomUUID()}`
  try {
    await writeDurably(draft, `${text}\n`)
    if (kept === undefined) await link(draft, path)
    else await rename(draft, path)
    await syncFolder(dirname(path))
    return { text, isNew: true }
  } catch (error) {
    // Another process was first: its secret is the one.
    if (errorCode(error) === 'EEXIST') return { text: (await readIfAny(path)) ?? '', isNew: false }
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

const readIfAny = async (path: string): Promise<string | undefined> => {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

const writeDurably = async (path: string, text: string): Promise<void> => {
  await using file = await open(path, 'wx', OWNER_ONLY_FILE)
  await file.writeFile(text)
  await file.sync()
}

// Completes package-lock.json after an `npm install` against a registry that lacks packages for other platforms: npm then leaves
// their optional entries out, and `npm ci` refuses the lock ("Missing: … from lock file"). The entries added here say only for
// which platform each is, so that `npm ci` skips it on this one. Run: node bin/complete-lock.mjs
import { readFileSync, writeFileSync } from 'node:fs'

const FILE = new URL('../package-lock.json', import.meta.url)
const OS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']
const CPU = ['arm64', 'arm', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64']

/** `@scope/binding-linux-x64-musl` → for which machines it is, by the naming that all our tools share. */
const platformOf = (name) => {
  const words = name.split(/[/-]/)
  const os = OS.find((word) => words.includes(word))
  const cpu = CPU.find((word) => words.includes(word))
  if (!os || !cpu) throw new Error(`cannot tell the platform of ${name}`)
  const libc = words.includes('musl') ? 'musl' : words.includes('gnu') ? 'glibc' : undefined
  return { cpu: [cpu], os: [os], ...(os === 'linux' && libc && { libc: [libc] }) }
}

const lock = JSON.parse(readFileSync(FILE, 'utf8'))
const present = (path, name) =>
  `${path}/node_modules/${name}` in lock.packages || `node_modules/${name}` in lock.packages
let added = 0
for (const [path, entry] of Object.entries(lock.packages))
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (path === '' || present(path, name)) continue
    const dev = entry.dev ? { dev: true } : {}
    lock.packages[`node_modules/${name}`] = { version, ...platformOf(name), ...dev, optional: true }
    added += 1
  }
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`)
console.log(`${added} entries added`)

/** Memory and CPU time of a process and all its descendants, read from Linux' /proc. Elsewhere everything reads as 0. */
import { readdirSync, readFileSync } from 'node:fs'

const KIB = 1024
/** proc(5): times in /proc/<pid>/stat are in clock ticks, 100 a second on every Linux that Node supports. */
const TICKS_PER_SECOND = 100

export interface Usage {
  /** Resident bytes, counting a page once per process that maps it. */
  readonly rssBytes: number
  /** Resident bytes, each shared page divided by those who share it: what the tree really takes. */
  readonly pssBytes: number
  /** User and system time, of children that have ended too. */
  readonly cpuSeconds: number
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // The process has just ended, or this is no Linux.
    return ''
  }
}

/** @param stat text of /proc/<pid>/stat. The name in parentheses may itself hold spaces and parentheses. */
export const parseStat = (stat: string): { readonly parent: number; readonly cpuSeconds: number } | undefined => {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields.length < 15) return undefined
  // Fields 14–17 of proc(5), counted from 1 with pid and name, which are cut off here.
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
  return { parent: Number(fields[1]), cpuSeconds: ticks / TICKS_PER_SECOND }
}

/** @param rollup text of /proc/<pid>/smaps_rollup. @returns bytes under `field`, 0 where it is missing. */
export const parseRollup = (rollup: string, field: 'Rss' | 'Pss'): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(rollup)?.[1] ?? 0) * KIB

/** @returns `root` and every descendant of it, given each process's parent. */
export const descendants = (root: number, parents: ReadonlyMap<number, number>): readonly number[] => {
  const found = [root]
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child)
  return found
}

const treeOf = (root: number): readonly number[] => {
  const pids = readProcesses()
  const parents = new Map(pids.map((pid) => [pid, parseStat(read(`/proc/${pid}/stat`))?.parent ?? 0] as const))
  return descendants(root, parents)
}

const readProcesses = (): readonly number[] => {
  try {
    return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? Number(name) : []))
  } catch {
    return []
  }
}

export const usageOf = (pid: number): Usage => {
  const rollup = read(`/proc/${pid}/smaps_rollup`)
  return {
    rssBytes: parseRollup(rollup, 'Rss'),
    pssBytes: parseRollup(rollup, 'Pss'),
    cpuSeconds: cpuSecondsOf(pid),
  }
}

export const cpuSecondsOf = (pid: number): number => parseStat(read(`/proc/${pid}/stat`))?.cpuSeconds ?? 0

/** CPU time of the whole tree. Reads no memory maps, so it costs well under a millisecond a process. */
export const treeCpuSeconds = (root: number): number => treeOf(root).reduce((sum, pid) => sum + cpuSecondsOf(pid), 0)

export const treeUsage = (root: number): Usage =>
  treeOf(root)
    .map(usageOf)
    .reduce((a, b) => ({
      rssBytes: a.rssBytes + b.rssBytes,
      pssBytes: a.pssBytes + b.pssBytes,
      cpuSeconds: a.cpuSeconds + b.cpuSeconds,
    }))

/** @param stat text of /proc/stat. @returns seconds that all cores together were busy, and seconds that they could have been. */
export const parseMachineTime = (stat: string): { readonly busySeconds: number; readonly totalSeconds: number } => {
  // proc(5): user nice system idle iowait irq softirq steal; what follows is counted in user already.
  const fields = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').slice(0, 8).map(Number)
  const total = fields.reduce((sum, ticks) => sum + ticks, 0)
  const idle = (fields[3] ?? 0) + (fields[4] ?? 0)
  return { busySeconds: (total - idle) / TICKS_PER_SECOND, totalSeconds: total / TICKS_PER_SECOND }
}

/** Starts to watch. @returns a function that tells which share of the machine went to others than this process's tree since. */
export const watchDisturbance = (): (() => number) => {
  const look = () => ({ ...parseMachineTime(read('/proc/stat')), ownSeconds: treeCpuSeconds(process.pid) })
  const from = look()
  return () => {
    const to = look()
    const others = to.busySeconds - from.busySeconds - (to.ownSeconds - from.ownSeconds)
    return Math.max(0, others / (to.totalSeconds - from.totalSeconds))
  }
}

/** Each process of the tree with its command's first words, largest first: for the note beside a total. */
export const treeMembers = (root: number): readonly { readonly name: string; readonly pssBytes: number }[] =>
  treeOf(root)
    .map((pid) => ({
      name: (
        read(`/proc/${pid}/cmdline`)
          .split('\0')
          .find((word) => /\.\w+$/.test(word)) ?? '?'
      ).replace(/^.*\//, ''),
      pssBytes: usageOf(pid).pssBytes,
    }))
    .toSorted((a, b) => b.pssBytes - a.pssBytes)

export interface Peak {
  rssBytes: number
  pssBytes: number
  members: string
}

/** Reading a map costs the kernel some 2 ms a process, so four times a second: 5 processes × 2 ms × 4 = 4 % of a core. */
const SAMPLE_MS = 250

/** Samples the tree's memory until disposed; `peak` then holds the largest sums seen at one moment. */
export const watchMemory = (root: number): Disposable & { readonly peak: Readonly<Peak> } => {
  const peak: Peak = { rssBytes: 0, pssBytes: 0, members: '' }
  const sample = (): void => {
    const usage = treeUsage(root)
    peak.rssBytes = Math.max(peak.rssBytes, usage.rssBytes)
    if (usage.pssBytes <= peak.pssBytes) return
    peak.pssBytes = usage.pssBytes
    peak.members = treeMembers(root)
      .map(({ name, pssBytes }) => `${name} ${Math.round(pssBytes / 1e6)}`)
      .join(', ')
  }
  const timer = setInterval(sample, SAMPLE_MS)
  return {
    peak,
    [Symbol.dispose]: () => {
      clearInterval(timer)
      sample()
    },
  }
}

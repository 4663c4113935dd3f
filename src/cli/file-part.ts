/** A part of a local file, read piece by piece; and what is said when that fails. */
import { type FileHandle, open } from 'node:fs/promises'

/** 256 KiB: 32 reads a chunk of 8 MiB, and 16 MiB in all at the greatest concurrency of 64. */
const READ_BYTES = 256 * 1024

/** A part of a local file. */
export interface FilePart {
  readonly path: string
  readonly offset: number
  readonly bytes: number
}

/** A part of a file that is open, and who is told of its bytes as they go. */
export interface FileBody {
  readonly handle: FileHandle
  readonly file: FilePart
  readonly onSent: ((bytes: number) => void) | undefined
}

/** The file itself cannot be read, or is no longer what it was. */
export class FileFault extends Error {
  override readonly name = 'FileFault'
}

/** @throws FileFault when it cannot be opened. */
export const openFile = async (path: string): Promise<FileHandle> => {
  try {
    return await open(path)
  } catch (cause) {
    throw new FileFault(reasonOf(cause), { cause })
  }
}

/** @throws (while iterated) FileFault when the file cannot be read, or is shorter than it was. */
export async function* readPart({ handle, file, onSent }: FileBody): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let sent = 0; sent < file.bytes; ) {
    const wanted = Math.min(READ_BYTES, file.bytes - sent)
    const { bytesRead } = await handle.read(buffer, 0, wanted, file.offset + sent).catch((cause: unknown) => {
      throw new FileFault(reasonOf(cause), { cause })
    })
    if (bytesRead === 0) throw new FileFault('the file became shorter while it was sent')
    sent += bytesRead
    // A copy: the stream below may still hold the last piece when the next is read.
    yield Buffer.from(buffer.subarray(0, bytesRead))
    onSent?.(bytesRead)
  }
}

/** The system's word for a fault of a file, without its path, which is said beside it. */
export const reasonOf = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  const known: Readonly<Record<string, string>> = {
    EACCES: 'permission denied',
    EPERM: 'not permitted',
    ENOENT: 'no such file',
    ENOTDIR: 'no such file',
    EISDIR: 'a folder',
    ELOOP: 'too many symbolic links',
    EMFILE: 'too many open files',
    EIO: 'the disk cannot read it',
  }
  return (code && known[code]) ?? (error instanceof Error ? error.message : String(error))
}

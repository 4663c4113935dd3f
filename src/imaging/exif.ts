/** The few facts of EXIF that an owner cares about: when, where, with what. Never fails an upload: what cannot be read is null. */
import readExif from 'exif-reader'
import type { Probed } from './renderer-port.ts'

export type ShotDetails = Pick<Probed, 'takenAt' | 'location' | 'camera'>

const UNKNOWN: ShotDetails = { takenAt: null, location: null, camera: null }

/** EXIF 2.32 §4.6.5: offsets are written `+hh:mm`. Without one, the camera's clock is taken as UTC. */
const instant = (clock: unknown, offset: unknown): string | null => {
  if (!(clock instanceof Date) || Number.isNaN(clock.getTime())) return null
  const [, sign, hours, minutes] = (typeof offset === 'string' && /^([+-])(\d\d):(\d\d)/.exec(offset)) || []
  const aheadMinutes = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * (sign === '-' ? -1 : 1)
  const year = clock.getUTCFullYear()
  return year < 1826 || year > 2200 ? null : new Date(clock.getTime() - aheadMinutes * 60_000).toISOString()
}

/** Degrees, minutes, seconds and a hemisphere letter → signed degrees; undefined unless all of them make sense. */
const degrees = (parts: unknown, hemisphere: unknown, limit: number): number | undefined => {
  if (!Array.isArray(parts) || typeof hemisphere !== 'string') return undefined
  const [whole = Number.NaN, minutes = 0, seconds = 0] = parts.map(Number)
  const size = whole + minutes / 60 + seconds / 3600
  if (!(size >= 0 && size <= limit)) return undefined
  return /^[SW]/i.test(hemisphere) ? -size : size
}

const words = (text: unknown): string =>
  typeof text === 'string'
    ? text
        .replace(/[^\x20-\x7e]/g, ' ')
        .trim()
        .slice(0, 60)
    : ''

/** Makers repeat themselves: `Canon` + `Canon EOS R5` is one `Canon EOS R5`. */
const cameraName = (make: string, model: string): string | null =>
  (model.toLowerCase().startsWith(make.toLowerCase()) ? model : `${make} ${model}`.trim()) || null

/** `exif`: the raw EXIF block of a file, as untrusted as the file. */
export const readShotDetails = (exif: Buffer | undefined): ShotDetails => {
  if (!exif) return UNKNOWN
  try {
    const { Image: image, Photo: photo, GPSInfo: gps } = readExif(exif)
    const latitude = degrees(gps?.GPSLatitude, gps?.GPSLatitudeRef, 90)
    const longitude = degrees(gps?.GPSLongitude, gps?.GPSLongitudeRef, 180)
    return {
      takenAt:
        instant(photo?.DateTimeOriginal, photo?.OffsetTimeOriginal) ??
        instant(photo?.DateTimeDigitized, photo?.OffsetTimeDigitized),
      location: latitude === undefined || longitude === undefined ? null : { latitude, longitude },
      camera: cameraName(words(image?.Make), words(image?.Model)),
    }
  } catch {
    // Broken EXIF is common in sound pictures, and nothing depends on it.
    return UNKNOWN
  }
}

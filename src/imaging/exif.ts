/** The few facts of EXIF that an owner cares about: when, where, with what. Never fails an upload: what cannot be read is null. */
import { readExifTags, TAG, type TagValue } from './exif-tags.ts'
import type { Probed } from './renderer-port.ts'

export type ShotDetails = Pick<Probed, 'takenAt' | 'location' | 'camera'>

const UNKNOWN: ShotDetails = { takenAt: null, location: null, camera: null }

const CLOCK = /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)$/

/** EXIF 2.32 §4.6.5: offsets are written `+hh:mm`. Without one, the camera's clock is taken as UTC. */
const instant = (clock: TagValue, offset: TagValue): string | null => {
  const parts = (typeof clock === 'string' && CLOCK.exec(clock)) || []
  const [, year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.map(Number)
  const [, sign, hours, minutes] = (typeof offset === 'string' && /^([+-])(\d\d):(\d\d)/.exec(offset)) || []
  const aheadMinutes = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * (sign === '-' ? -1 : 1)
  const shown = new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  const shownYear = shown.getUTCFullYear()
  if (parts.length === 0 || shownYear < 1826 || shownYear > 2200) return null
  return new Date(shown.getTime() - aheadMinutes * 60_000).toISOString()
}

/** Degrees, minutes, seconds and a hemisphere letter → signed degrees; undefined unless all of them make sense. */
const degrees = (parts: TagValue, hemisphere: TagValue, limit: number): number | undefined => {
  if (!Array.isArray(parts) || parts.length < 2 || typeof hemisphere !== 'string') return undefined
  const [whole = Number.NaN, minutes = 0, seconds = 0] = parts.map(Number)
  const size = whole + minutes / 60 + seconds / 3600
  if (!(size >= 0 && size <= limit)) return undefined
  return /^[SW]/i.test(hemisphere) ? -size : size
}

const words = (text: TagValue): string =>
  typeof text === 'string'
    ? text
        .replace(/[^\x20-\x7e]/g, ' ')
        .trim()
        .slice(0, 60)
    : ''

/** Makers repeat themselves: `Canon` + `Canon EOS R5` is one `Canon EOS R5`. */
const cameraName = (make: string, model: string): string | null =>
  (model.toLowerCase().startsWith(make.toLowerCase()) ? model : `${make} ${model}`.trim()) || null

/** `exif`: the raw EXIF block of a file, as untrusted as the file. Broken EXIF is common in sound pictures: it is nulls. */
export const readShotDetails = (exif: Buffer | undefined): ShotDetails => {
  const tags = exif && readExifTags(exif)
  if (!tags) return UNKNOWN
  const { image, photo, gps } = tags
  const latitude = degrees(gps.get(TAG.latitude), gps.get(TAG.latitudeRef), 90)
  const longitude = degrees(gps.get(TAG.longitude), gps.get(TAG.longitudeRef), 180)
  return {
    takenAt:
      instant(photo.get(TAG.dateTimeOriginal), photo.get(TAG.offsetTimeOriginal)) ??
      instant(photo.get(TAG.dateTimeDigitized), photo.get(TAG.offsetTimeDigitized)),
    location: latitude === undefined || longitude === undefined ? null : { latitude, longitude },
    camera: cameraName(words(image.get(TAG.make)), words(image.get(TAG.model))),
  }
}

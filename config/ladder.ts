/** The sizes that a stranger may have made, and the steps that negotiation may choose. An operator may change these lists. */

/**
 * Widths (and heights) in pixels, ascending. An unsigned size off this ladder snaps up to the next step, so a public original
 * has at most this many widths. Icons, avatars, video and ad sizes, iPhone and laptop screens, 1K…8K, and CSS breakpoints.
 */
export const LADDER = [
  16, 24, 32, 48, 64, 80, 96, 120, 128, 150, 160, 180, 200, 240, 256, 300, 320, 360, 384, 400, 480, 512, 540, 600, 640,
  720, 750, 768, 800, 828, 900, 960, 1024, 1080, 1200, 1280, 1366, 1440, 1536, 1600, 1800, 1920, 2048, 2160, 2400, 2560,
  2880, 3200, 3840, 4096, 5120, 6144, 7680, 8192,
] as const

/**
 * Physical widths that Client Hints choose from (`autox`), snapped up; a subset of the ladder. Neighbours are 1.2–2 × apart:
 * a picture is at most 1.5 × wider than needed from 320 on, and a URL has 11 widths to cache, not 54.
 */
const WIDTH_STEPS = [160, 320, 480, 640, 828, 1080, 1280, 1600, 1920, 2560, 3840] as const

/** Device pixel ratios that hints choose from, snapped up. 1.5: zoomed desktops; 2, 3: phones; 4: the end of the URL's range. */
const DPR_STEPS = [1, 1.5, 2, 3, 4] as const

/**
 * The screen assumed of a client without hints (Safari and Firefox send none): CSS width × DPR. A phone gets 414 × 2 = 828:
 * above 2 the eye sees little on a hand-held screen, and 3 would double the bytes.
 */
const SCREENS = {
  phone: { width: 414, dpr: 2 },
  tablet: { width: 800, dpr: 2 },
  desktop: { width: 1280, dpr: 1 },
  tv: { width: 1920, dpr: 1 },
  bot: { width: 1280, dpr: 1 },
  other: { width: 1280, dpr: 1 },
} as const

export const NEGOTIATION = { widthSteps: WIDTH_STEPS, dprSteps: DPR_STEPS, screens: SCREENS } as const

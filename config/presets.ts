/** Named presets: `/i/{hash}/@{name}.{fmt}`, each a size and options in the URL's own syntax. An operator may change them. */

/** Options in the URL beside a preset are allowed and win over the preset's. Widths are on the ladder, aspects simple. */
export const PRESETS = {
  thumb: '200x200?fit=cover&g=attention',
  avatar: '128x128?fit=cover&g=attention',
  square: '600x600?fit=cover&g=attention',
  small: '480x',
  medium: '960x',
  large: '1600x',
  full: '2560x',
  card: '640x360?fit=cover&g=attention',
  hero: '1920x1080?fit=cover&g=attention',
  social: '1200x630?fit=cover&g=attention',
  placeholder: '32x?blur=2&q=low',
} as const

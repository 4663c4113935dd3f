/** Rows as CSV by RFC 4180, safe to open in a spreadsheet. */

export type Cell = string | number | null

/** What spreadsheets take for the start of a formula (OWASP, "CSV Injection"), full-width forms included. */
const FORMULA = /^[=+\-@\t\r＝＋－＠]/

const cellText = (cell: Cell): string => {
  if (cell === null) return ''
  if (typeof cell === 'number') return String(cell)
  // The apostrophe makes it a text in every spreadsheet; numbers come as numbers, so a minus of ours is never touched.
  const text = FORMULA.test(cell) ? `'${cell}` : cell
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** Header and rows, each line ended by CRLF. */
export const toCsv = (header: readonly string[], rows: readonly (readonly Cell[])[]): string =>
  [header, ...rows].map((row) => `${row.map(cellText).join(',')}\r\n`).join('')

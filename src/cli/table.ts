// Tables for people: columns as wide as their widest cell, two spaces apart. Pure.

export type Align = 'left' | 'right'

/** One line a row, the headings first; `align` is by column, left where it ends. */
export function formatTable(
  rows: readonly (readonly string[])[],
  align: readonly Align[] = [],
): string {
  const columns = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  )
  const pad = (cell: string, column: number) =>
    align[column] === 'right'
      ? cell.padStart(widths[column] ?? 0)
      : cell.padEnd(widths[column] ?? 0)
  return rows.map((row) => `${row.map(pad).join('  ').trimEnd()}\n`).join('')
}

/** Text in columns, three spaces apart, as kubectl's tab writer sets it. */
import { printable } from './printable.js';

const GAP = 3;

/** Lines with a newline each. The last cell of a row is not padded. Control characters are shown escaped. */
export function columns(rows: readonly (readonly string[])[]): string {
  const clean = rows.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of clean) {
    row.forEach((cell, i) => {
      if (i < row.length - 1) widths[i] = Math.max(widths[i] ?? 0, cell.length);
      else widths[i] ??= 0;
    });
  }
  // A column is as wide as any of its cells that has a neighbour to the right; the last one has none.
  return clean
    .map(
      (row) => `${row.map((cell, i) => (i < row.length - 1 ? cell.padEnd((widths[i] ?? 0) + GAP) : cell)).join('')}\n`,
    )
    .join('');
}

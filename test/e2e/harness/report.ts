/** What tests tell beside passing or failing: figures, skipped parts, logs of a failure. */
export function note(text: string): void {
  process.stdout.write(`      ${text}\n`);
}

/** What is not tested here is said so that nobody overlooks it. */
export function loudlySkipped(what: string): void {
  process.stdout.write(`    !! SKIPPED: ${what}\n`);
}

export function dump(text: string): void {
  process.stdout.write(`${text}\n`);
}

/**
 * Strings in ascending order, each once, in blocks of bounded size: inserting and removing moves a block's strings, however many
 * there are in all.
 */

/** Strings of a block; a fuller one is split. */
const BLOCK = 512;

export class SortedKeys {
  /** None is empty, but for the only one. */
  private blocks: string[][] = [[]];

  /** `key` must not be present. */
  add(key: string): void {
    const at = this.blockOf(key);
    const block = this.blocks[at] as string[];
    block.splice(lowerBound(block, key), 0, key);
    if (block.length <= BLOCK) return;
    // Keys mostly come in order: a full block in the middle is halved, the last one left full.
    const keep = at === this.blocks.length - 1 && block.at(-1) === key ? BLOCK : BLOCK / 2;
    this.blocks.splice(at + 1, 0, block.splice(keep));
  }

  /** `key` must be present. */
  remove(key: string): void {
    const at = this.blockOf(key);
    const block = this.blocks[at] as string[];
    block.splice(lowerBound(block, key), 1);
    if (block.length === 0 && this.blocks.length > 1) this.blocks.splice(at, 1);
  }

  /** Calls `visit` for every key from `from` on, in order, until it returns false. */
  visitFrom(from: string, visit: (key: string) => boolean): void {
    const first = this.blockOf(from);
    for (let at = first; at < this.blocks.length; at++) {
      const block = this.blocks[at] as string[];
      for (let i = at === first ? lowerBound(block, from) : 0; i < block.length; i++) {
        if (!visit(block[i] as string)) return;
      }
    }
  }

  /** One with the same keys. */
  copy(): SortedKeys {
    const copy = new SortedKeys();
    copy.blocks = this.blocks.map((block) => [...block]);
    return copy;
  }

  /** The last block that begins at or before `key`; the first one when there is none. */
  private blockOf(key: string): number {
    let low = 0;
    let high = this.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (((this.blocks[middle] as string[])[0] as string) <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function lowerBound(keys: readonly string[], wanted: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

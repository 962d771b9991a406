/**
 * What a watch showed, held against its rules: after a list, every change once and in the order of revisions, and nothing left
 * out. Pure.
 */
interface Seen {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
}

export class WatchLedger {
  /** Name to revision, as the watch tells it. */
  readonly present = new Map<string, string>();
  readonly duplicates: string[] = [];
  readonly gaps: string[] = [];
  revision = 0;
  events = 0;

  constructor(private readonly name: string) {}

  /** A list: everything before it is forgotten, as by a client that was told 410. */
  listed(items: readonly Seen[], resourceVersion: string): void {
    this.present.clear();
    for (const { metadata } of items) this.present.set(metadata.name, metadata.resourceVersion);
    this.revision = Number(resourceVersion);
  }

  /** One event; bookmarks too. */
  event(type: string, { metadata: { name, resourceVersion } }: Seen): void {
    const revision = Number(resourceVersion);
    if (type === 'BOOKMARK') {
      if (revision < this.revision) this.duplicates.push(`${this.name}: a bookmark ${revision} after ${this.revision}`);
      this.revision = Math.max(revision, this.revision);
      return;
    }
    this.events++;
    if (revision <= this.revision) {
      this.duplicates.push(`${this.name}: ${type} ${name} at ${revision} after ${this.revision}`);
    }
    const known = this.present.has(name);
    if (known === (type === 'ADDED'))
      this.gaps.push(`${this.name}: ${type} ${name}, which was ${known ? '' : 'not '}there`);
    this.revision = revision;
    if (type === 'DELETED') this.present.delete(name);
    else this.present.set(name, resourceVersion);
  }

  /** How what the watch has told differs from a list; undefined when it does not. */
  differenceTo(items: readonly Seen[]): string | undefined {
    const listed = new Map(items.map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
    const names = [...new Set([...listed.keys(), ...this.present.keys()])];
    const wrong = names.filter((name) => listed.get(name) !== this.present.get(name));
    if (wrong.length === 0) return undefined;
    const [first = ''] = wrong;
    const shown = (map: ReadonlyMap<string, string>) => map.get(first) ?? 'none';
    return `${this.name}: ${wrong.length} objects differ from the list, such as ${first}: ${shown(this.present)} instead of ${shown(listed)}`;
  }
}

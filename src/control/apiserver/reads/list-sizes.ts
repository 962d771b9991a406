/** How many objects lists went through when they were last made: what the next one of the same is likely to cost. */
import type { ResourceRef } from '../../../api/resource.js';

/** Resources and namespaces that are remembered; the one noted longest ago goes first. */
const MAX_REMEMBERED = 1000;

export class ListSizes {
  private readonly sizes = new Map<string, number>();

  note(of: Pick<ResourceRef, 'group' | 'resource'>, namespace: string | undefined, objects: number): void {
    const key = keyOf(of, namespace);
    this.sizes.delete(key);
    this.sizes.set(key, objects);
    if (this.sizes.size <= MAX_REMEMBERED) return;
    const [oldest = ''] = this.sizes.keys();
    this.sizes.delete(oldest);
  }

  /** 0 for a list that has not been made for long. */
  of(of: Pick<ResourceRef, 'group' | 'resource'>, namespace: string | undefined): number {
    return this.sizes.get(keyOf(of, namespace)) ?? 0;
  }
}

const keyOf = ({ group, resource }: Pick<ResourceRef, 'group' | 'resource'>, namespace = '') =>
  `${group}/${resource}/${namespace}`;

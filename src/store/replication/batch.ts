/** Requests executed and waiting to go out in the next frame. Pure bookkeeping of the sequencer. */
import type { KubeObject } from '../../api/object.js';
import type { Entry, LoggedReply } from '../log-entry.js';
import type { Revision, WriteReply } from '../object-store.js';

export class Batch {
  readonly entries: Entry[] = [];
  readonly replies = new Map<string, LoggedReply>();
  readonly objects = new Map<Revision, KubeObject>();

  get isEmpty(): boolean {
    return this.entries.length === 0;
  }

  add(entry: Entry, object?: KubeObject): void {
    this.entries.push(entry);
    if (object) this.objects.set(entry.revision, object);
  }
}

/** How a reply is logged: by reference to the object it shows when the request wrote it. */
export function loggedReply(
  id: string,
  reply: WriteReply,
  writes: readonly { readonly revision: Revision; readonly object: KubeObject }[],
  revision: Revision,
): LoggedReply {
  const shown = writes.find(({ object }) => object === reply.body);
  const body = shown ? { bodyOf: shown.revision } : { body: JSON.stringify(reply.body ?? null) };
  const { code, warnings, annotations, majority } = reply;
  return {
    id,
    code,
    warnings,
    ...(annotations ? { annotations } : {}),
    ...(majority ? { majority } : {}),
    ...body,
    revision,
  };
}

/**
 * How far deletions have been forgotten: the stamp up to which tombstones were collected, kept as a record of the replicated
 * state, so that every peer forgets the same ones. The sequencer moves it.
 *
 * A peer that was away longer brings objects whose deletion nobody remembers. What both sides knew when they last met, and
 * only one side has now, was deleted on the other since; what was written after they met is a side's own, and stays.
 */
import type { KubeObject } from '../../api/object.js';
import { keyString, type ObjectKey } from '../object-store.js';
import { laterStamp, NO_STAMP, stampMs, type Stamp } from '../stamp.js';

export interface Watermark extends KubeObject {
  readonly upTo: Stamp;
}

export const WATERMARK_OBJECT: ObjectKey = Object.freeze({
  group: 'internal.skein.dev',
  resource: 'watermarks',
  namespace: '',
  name: 'tombstones',
});
export const WATERMARK_KEY = keyString(WATERMARK_OBJECT);

export const watermark = (upTo: Stamp): Watermark => ({
  apiVersion: 'internal.skein.dev/v1',
  kind: 'Watermark',
  metadata: { name: WATERMARK_OBJECT.name, uid: 'watermark' },
  upTo,
});

export const upToOf = (value: KubeObject | undefined): Stamp => (value as Watermark | undefined)?.upTo ?? NO_STAMP;

/** The first stamp of that millisecond. */
export const stampAt = (ms: number): Stamp =>
  (Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0') + NO_STAMP.slice(12)) as Stamp;

/** A voter may be so far behind when it is lost, in milliseconds: what is younger may not have reached it. */
const LAG_MS = 5_000;

/** Until when a peer and any of `others` had everything in common, as far as the peer noted it. */
export function commonUntil(contacts: Readonly<Record<string, Stamp>>, others: readonly string[]): Stamp {
  const last = others.map((peer) => contacts[peer] ?? NO_STAMP).reduce(laterStamp, NO_STAMP);
  return last === NO_STAMP ? NO_STAMP : stampAt(stampMs(last) - LAG_MS);
}

/** Whether what one side has, and the other has not, was deleted there and the deletion forgotten. */
export const wasForgotten = (version: Stamp, common: Stamp, collected: Stamp, hasTombstones: boolean): boolean =>
  version <= common && (!hasTombstones || version <= collected);

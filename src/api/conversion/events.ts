/** Events of `events.k8s.io/v1` as a view of core Events: the same object under newer names. */
import type { KubeObject } from '../object.js';

/** Fields by their name in `events.k8s.io`, with their core name. */
const NAMES: readonly (readonly [newer: string, core: string])[] = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
];
const TO_CORE = new Map(NAMES);
const FROM_CORE = new Map(NAMES.map(([newer, core]) => [core, newer]));

function renamed(object: KubeObject, apiVersion: string, names: ReadonlyMap<string, string>): KubeObject {
  const result: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(object)) result[names.get(field) ?? field] = value;
  result['apiVersion'] = apiVersion;
  return result as unknown as KubeObject;
}

export function eventToCore(object: KubeObject): KubeObject {
  const event = renamed(object, 'v1', TO_CORE) as KubeObject & { involvedObject?: object };
  event.involvedObject ??= {};
  return event;
}

export function eventFromCore(stored: KubeObject): KubeObject {
  const event = renamed(stored, 'events.k8s.io/v1', FROM_CORE) as KubeObject & { eventTime?: string | null };
  // Not optional in this API: an Event without says so.
  event.eventTime ??= null;
  return event;
}

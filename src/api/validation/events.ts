/** Rules of Events: lax for the core API, strict for `events.k8s.io`. Both are checked in the core form. */
import { qualifiedName } from '../names.js';
import { semanticEqual } from '../strategy/equality.js';
import type { Event } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

const MAX_TEXT = 128;
const MAX_NOTE = 1024;
/** Namespaces that hold the Events of cluster-scoped objects. */
const CLUSTER_EVENTS = ['default', 'kube-system', ''];

function validateCommon(errors: FieldErrors, event: Sent<Event>, reporting: string): void {
  const namespace = event.involvedObject?.namespace ?? '';
  const own = event.metadata?.namespace ?? '';
  if (event.eventTime === undefined || event.eventTime === null) {
    const fits = namespace === '' ? CLUSTER_EVENTS.includes(own) : own === namespace;
    if (!fits) errors.invalid('involvedObject.namespace', namespace, 'does not match event.namespace');
    return;
  }
  if (namespace === '' ? own !== 'default' && own !== 'kube-system' : own !== namespace) {
    errors.invalid('involvedObject.namespace', namespace, 'does not match event.namespace');
  }
  errors.requiredName(reporting, event.reportingComponent, qualifiedName);
  for (const field of ['reportingInstance', 'action', 'reason'] as const) {
    const text = event[field];
    if (errors.present(field, text) && text.length > MAX_TEXT) {
      errors.invalid(field, '', `can have at most ${MAX_TEXT} characters`);
    }
  }
  if ((event.message ?? '').length > MAX_NOTE) {
    errors.invalid('message', '', `can have at most ${MAX_NOTE} characters`);
  }
}

export const validateEvent = (errors: FieldErrors, event: Sent<Event>) =>
  validateCommon(errors, event, 'reportingComponent');

/** An Event that is created through `events.k8s.io/v1`, in its core form. */
export function validateStrictEvent(errors: FieldErrors, event: Sent<Event>): void {
  validateCommon(errors, event, 'reportingController');
  if (event.eventTime === undefined || event.eventTime === null) errors.required('eventTime');
  if (event.type !== 'Normal' && event.type !== 'Warning')
    errors.invalid('type', '', `has invalid value: ${event.type ?? ''}`);
  const unset = 'needs to be unset';
  if (event.firstTimestamp) errors.invalid('firstTimestamp', '', unset);
  if (event.lastTimestamp) errors.invalid('lastTimestamp', '', unset);
  if (event.count) errors.invalid('count', '', unset);
  if (event.source?.component || event.source?.host) errors.invalid('source', '', unset);
}

const FROZEN = [
  'involvedObject',
  'reason',
  'reportingComponent',
  'reportingInstance',
  'action',
  'type',
  'eventTime',
  'message',
  'source',
  'firstTimestamp',
  'lastTimestamp',
  'count',
  'related',
] as const;
/** Fields that are called otherwise in error texts. */
const FROZEN_NAMES: Readonly<Record<string, string>> = { reportingComponent: 'reportingController', message: 'note' };

/** All but the series (and metadata) stays, when the change comes through `events.k8s.io/v1`. */
export function validateStrictEventUpdate(errors: FieldErrors, event: Sent<Event>, old: Sent<Event>): void {
  for (const field of FROZEN) {
    if (!semanticEqual(event[field], old[field])) errors.immutable(FROZEN_NAMES[field] ?? field, event[field]);
  }
}

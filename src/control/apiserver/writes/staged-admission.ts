/**
 * The seam between a write and the webhooks that were asked about it before it was submitted: the object that they agreed on
 * takes the place of the one that the request gives, as long as what it was based on is still there.
 */
import { ApiError } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import {
  AdmissionChain,
  type AdmissionAttributes,
  type AdmissionLookups,
} from '../../../security/admission/admission.js';
import type { WriteReply } from '../../../store/object-store.js';
import type { Admitted, WriteRequest } from './write-request.js';

/** Told of every object that built-in mutation has dealt with; throws to end a rehearsal. */
export type OnAdmitted = (attributes: AdmissionAttributes) => void;

const STALE = 'AdmissionStale';

/** How {@link Admitted.bases} names an object. */
export const baseKey = (namespace: string, name: string): string => `${namespace}/${name}`;

/** Whether the sequencer has seen a newer state than the webhooks: they must be asked again. */
export function isStale({ code, body }: WriteReply): boolean {
  if (code !== 409) return false;
  const { details } = body as { details?: { causes?: { reason?: string }[] } };
  return details?.causes?.some(({ reason }) => reason === STALE) === true;
}

const stale = () =>
  new ApiError(409, 'Conflict', 'the object changed while admission webhooks were asked; please try again', {
    causes: [{ reason: STALE, message: 'the object changed while admission webhooks were asked' }],
  });

function checkBase({ bases }: Admitted, { operation, namespace, name, oldObject }: AdmissionAttributes): void {
  const base = operation === 'CREATE' ? bases[''] : bases[baseKey(namespace, name)];
  const present = operation === 'CREATE' ? '' : (oldObject?.metadata.resourceVersion ?? '');
  if (base !== present) throw stale();
}

/** The object that mutating webhooks have made of `sent`; undefined when they were not asked or changed nothing. */
export function agreedObject({ admitted }: WriteRequest, sent: KubeObject): KubeObject | undefined {
  if (admitted?.object === undefined) return undefined;
  const { name, namespace } = sent.metadata;
  const metadata = { ...admitted.object.metadata };
  if (name !== undefined) metadata.name = name;
  if (namespace !== undefined) metadata.namespace = namespace;
  return { ...admitted.object, metadata };
}

/** The chain for one write. Built-in mutation runs once more on what the webhooks made, as upstream reinvokes it. */
export class StagedAdmission extends AdmissionChain {
  constructor(
    private readonly chain: AdmissionChain,
    private readonly admitted: Admitted | undefined,
    private readonly onAdmitted: OnAdmitted | undefined,
  ) {
    super([]);
  }

  override admit(attributes: AdmissionAttributes, lookups: AdmissionLookups): void {
    const { admitted } = this;
    if (admitted && (admitted.judged || admitted.object)) checkBase(admitted, attributes);
    this.chain.admit(attributes, lookups);
    this.onAdmitted?.(attributes);
  }

  override validate(attributes: AdmissionAttributes, lookups: AdmissionLookups): void {
    this.chain.validate(attributes, lookups);
    if (this.admitted?.judged === false && this.onAdmitted === undefined) throw stale();
  }

  override committed(attributes: AdmissionAttributes, stored: KubeObject): void {
    this.chain.committed(attributes, stored);
  }
}

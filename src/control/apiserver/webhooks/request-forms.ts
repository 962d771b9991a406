/** A write request in the forms that its way through the webhooks needs. Pure. */
import { parseBody } from '../../../api/body.js';
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import { fromScale } from '../../../api/strategy/scale.js';
import type { Service } from '../../../api/types/core-v1.js';
import type { AdmissionAttributes } from '../../../security/admission/admission.js';
import type { WriteReply } from '../../../store/object-store.js';
import { baseKey } from '../writes/staged-admission.js';
import type { WriteRequest } from '../writes/write-request.js';

export const OPERATIONS = {
  create: ['CREATE'],
  update: ['UPDATE', 'CREATE'],
  patch: ['UPDATE', 'CREATE'],
  delete: ['DELETE'],
  deletecollection: ['DELETE'],
} as const;

export const OPTIONS_KIND = {
  create: 'CreateOptions',
  update: 'UpdateOptions',
  patch: 'PatchOptions',
  delete: 'DeleteOptions',
  deletecollection: 'DeleteOptions',
} as const;

export function optionsOf({
  verb,
  dryRun,
  fieldManager,
  fieldValidation,
  deletion,
}: WriteRequest): Record<string, unknown> {
  const isDelete = verb === 'delete' || verb === 'deletecollection';
  const { gracePeriodSeconds, propagationPolicy } = deletion ?? {};
  return {
    kind: OPTIONS_KIND[verb],
    apiVersion: 'meta.k8s.io/v1',
    ...(dryRun ? { dryRun: ['All'] } : {}),
    ...(isDelete
      ? {
          ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
          ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
        }
      : { fieldManager, fieldValidation }),
  };
}

export const baseOf = ({ operation, namespace, name, oldObject }: AdmissionAttributes): [string, string] =>
  operation === 'CREATE' ? ['', ''] : [baseKey(namespace, name), oldObject?.metadata.resourceVersion ?? ''];

export const isTaken = ({ code, body }: WriteReply): boolean =>
  code === 409 && (body as { reason?: string }).reason === 'AlreadyExists';

export function bodyOf({ object, body, contentType }: WriteRequest): unknown {
  return object ?? (body === undefined ? {} : parseBody(body, contentType).value);
}

export function withObject(request: WriteRequest, object: unknown): WriteRequest {
  const { body: _body, ...rest } = request;
  return { ...rest, contentType: '', object };
}

/** Without what the registry gives to a new object. */
export function unstored(object: KubeObject, unnamed: boolean): KubeObject {
  const { uid: _uid, creationTimestamp: _created, generation: _generation, ...metadata } = object.metadata;
  if (unnamed) delete metadata.name;
  return { ...structuredClone(object), metadata: structuredClone(metadata) };
}

/** The whole object after the webhooks: back from its view, with what a new object was given before. */
export function complete(
  info: ResourceInfo,
  { subresource }: WriteRequest,
  { object, operation }: AdmissionAttributes,
  mutated: KubeObject | undefined,
): KubeObject {
  const before = object as KubeObject;
  if (mutated === undefined) return before;
  if (subresource === 'scale') return fromScale(info, before, mutated as Parameters<typeof fromScale>[2]);
  if (operation !== 'CREATE') return mutated;
  const { uid, creationTimestamp, generation, name } = before.metadata;
  return {
    ...mutated,
    metadata: {
      ...mutated.metadata,
      ...(uid === undefined ? {} : { uid }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      ...(generation === undefined ? {} : { generation }),
      ...(name === undefined ? {} : { name }),
    },
  };
}

/** Addresses and ports that the rehearsal gave to a new Service: the sequencer gives its own. */
export function withoutAllocations(request: WriteRequest, attributes: AdmissionAttributes): AdmissionAttributes {
  const { group, resource, object } = attributes;
  if (group !== '' || resource !== 'services' || object === undefined) return attributes;
  const asked = (bodyOf(request) as Service).spec;
  const { spec, ...rest } = object as Service & KubeObject;
  if (spec === undefined) return attributes;
  const { clusterIP, clusterIPs, ports, ...others } = spec;
  const given = asked?.clusterIP ? { clusterIP, clusterIPs } : {};
  const kept = ports?.map(({ nodePort, ...port }, i) => (asked?.ports?.[i]?.nodePort ? { ...port, nodePort } : port));
  return { ...attributes, object: { ...rest, spec: { ...others, ...given, ports: kept } } as KubeObject };
}

/** Which paths each (sub)resource writes: upstream's strategies' `GetResetFields`, as data. */
import { groupResourceOf } from '../resource.js';
import type { ResourceInfo } from '../schema/registry.js';
import { EMPTY_SET, type FieldSet, union, setOfPath } from './field-set.js';
import type { WrittenPaths } from './ownership.js';
import { fieldElement } from './path-element.js';

const pathsOf = (...paths: string[]): FieldSet =>
  paths.reduce<FieldSet>((set, path) => union(set, setOfPath(path.split('.').map(fieldElement))), EMPTY_SET);

const allBut = (...paths: string[]): WrittenPaths => Object.freeze({ allBut: pathsOf(...paths) });
const only = (...paths: string[]): WrittenPaths => Object.freeze({ only: pathsOf(...paths) });

const EVERYTHING = allBut();
const ALL_BUT_STATUS = allBut('status');
const ALL_BUT_SPEC = allBut('spec');
const ONLY_STATUS = only('status');
const STATUS_ALONE = allBut('spec', 'metadata');

const SPECIAL: Readonly<Record<string, WrittenPaths>> = {
  'pods/status': allBut('spec', 'metadata.deletionTimestamp', 'metadata.ownerReferences'),
  'pods/ephemeralcontainers': only('spec.ephemeralContainers'),
  'deployments.apps/status': allBut('spec', 'metadata.labels'),
  'certificatesigningrequests.certificates.k8s.io/status': allBut('spec', 'status.conditions'),
  'certificatesigningrequests.certificates.k8s.io/approval': allBut('spec', 'status.certificate'),
  'volumeattachments.storage.k8s.io/status': STATUS_ALONE,
  'customresourcedefinitions.apiextensions.k8s.io/status': STATUS_ALONE,
  'flowschemas.flowcontrol.apiserver.k8s.io/status': STATUS_ALONE,
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io/status': STATUS_ALONE,
  'validatingadmissionpolicies.admissionregistration.k8s.io/status': STATUS_ALONE,
};

/** What a write of the resource (`''`) or of one of its subresources can come to own. */
export function writtenThrough(info: ResourceInfo, subresource: string): WrittenPaths {
  if (subresource !== '') {
    const special = SPECIAL[`${groupResourceOf(info)}/${subresource}`];
    if (special !== undefined) return special;
    if (subresource === 'status') return info.custom ? ONLY_STATUS : ALL_BUT_SPEC;
    return subresource === 'scale' ? EVERYTHING : ALL_BUT_STATUS;
  }
  return info.subresources.has('status') ? ALL_BUT_STATUS : EVERYTHING;
}

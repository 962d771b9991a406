/** Rules of PersistentVolumeClaims, and what they share with volumes. */
import { dns1123Subdomain } from '../names.js';
import { parseQuantity } from '../quantity.js';
import { semanticEqual } from '../strategy/equality.js';
import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from '../types/core-v1.js';
import { lineDifference } from './difference.js';
import type { FieldErrors } from './field-errors.js';
import { validateLabelSelector } from './selectors.js';
import type { Sent } from './sent.js';

const ACCESS_MODES = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];
export const VOLUME_MODES: readonly string[] = ['Block', 'Filesystem'];
const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

export function validateAccessModes(errors: FieldErrors, at: string, modes: readonly string[]): void {
  for (const mode of modes) errors.oneOf(at, mode, ACCESS_MODES);
  if (modes.includes('ReadWriteOncePod') && modes.some((mode) => mode !== 'ReadWriteOncePod')) {
    errors.forbidden(at, 'may not use ReadWriteOncePod with other access modes');
  }
}

export function validatePositive(errors: FieldErrors, field: string, amount: string | number): void {
  if (parseQuantity(amount).nano <= 0n) errors.invalid(field, String(amount), 'must be greater than zero');
}

type Source = Sent<PersistentVolumeClaimSpec>['dataSourceRef'];

function validateDataSource(errors: FieldErrors, at: string, source: Source): void {
  if (source === undefined) return;
  errors.present(`${at}.name`, source.name);
  errors.present(`${at}.kind`, source.kind);
  if (!source.apiGroup && source.kind !== 'PersistentVolumeClaim') {
    const text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
    errors.invalid(at, source.kind ?? '', text);
  }
  if (source.apiGroup) errors.check(`${at}.apiGroup`, source.apiGroup, dns1123Subdomain);
}

/** Also the rule of claim templates: of StatefulSets and ephemeral volumes. */
export function validateClaimSpec(errors: FieldErrors, at: string, spec: Sent<PersistentVolumeClaimSpec>): void {
  const { accessModes = [] } = spec;
  if (accessModes.length === 0) errors.required(`${at}.accessModes`, 'at least 1 access mode is required');
  if (spec.selector !== undefined) validateLabelSelector(errors, `${at}.selector`, spec.selector);
  validateAccessModes(errors, `${at}.accessModes`, accessModes);
  const storage = spec.resources?.requests?.['storage'];
  if (storage === undefined) errors.required(`${at}.resources[storage]`);
  else validatePositive(errors, `${at}.resources[storage]`, storage);
  errors.optionalName(`${at}.storageClassName`, spec.storageClassName, dns1123Subdomain);
  errors.oneOf(`${at}.volumeMode`, spec.volumeMode, VOLUME_MODES);
  validateDataSource(errors, `${at}.dataSource`, spec.dataSource);
  validateDataSource(errors, `${at}.dataSourceRef`, spec.dataSourceRef);
  const { dataSource, dataSourceRef } = spec;
  if (dataSource !== undefined && dataSourceRef !== undefined && !semanticEqual(dataSource, dataSourceRef)) {
    errors.invalid(at, `${at}.dataSource`, 'must match dataSourceRef');
  }
}

export const validateClaim = (errors: FieldErrors, { spec }: Sent<PersistentVolumeClaim>) =>
  validateClaimSpec(errors, 'spec', spec ?? {});

const storageOf = (amounts: Readonly<Record<string, string | number | undefined>> | undefined) =>
  parseQuantity(amounts?.['storage'] ?? '0');

/** The spec with everything that may still change taken from `old`. */
function withOldMutable(claim: Sent<PersistentVolumeClaim>, before: Sent<PersistentVolumeClaim>) {
  const old = before.spec ?? {};
  const spec: Record<string, unknown> = { ...claim.spec };
  const keep = (field: keyof PersistentVolumeClaimSpec) => {
    if (old[field] === undefined) delete spec[field];
    else spec[field] = old[field];
  };
  if (!old.volumeName) keep('volumeName');
  // A class may be given later, once: to a claim without one, or in place of the annotation that it replaced.
  const annotated = before.metadata?.annotations?.[CLASS_ANNOTATION];
  const upgraded = annotated !== undefined && annotated === claim.spec?.storageClassName;
  if (old.storageClassName === undefined && (annotated === undefined || upgraded)) keep('storageClassName');
  if (before.status?.phase === 'Bound') {
    const requests = { ...claim.spec?.resources?.requests };
    const storage = old.resources?.requests?.['storage'];
    if (storage === undefined) delete requests['storage'];
    else requests['storage'] = storage;
    spec['resources'] = { ...claim.spec?.resources, requests };
  }
  return spec;
}

export function validateClaimUpdate(
  errors: FieldErrors,
  claim: Sent<PersistentVolumeClaim>,
  old: Sent<PersistentVolumeClaim>,
): void {
  const compared = withOldMutable(claim, old);
  if (!semanticEqual(compared, old.spec)) {
    const text =
      'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n';
    errors.forbidden('spec', text + lineDifference(compared, old.spec ?? {}));
  }
  const size = storageOf(claim.spec?.resources?.requests);
  const granted = storageOf(old.status?.capacity);
  if (size.compare(storageOf(old.spec?.resources?.requests)) < 0 && (granted.isZero || size.compare(granted) <= 0)) {
    errors.forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity');
  }
  if (claim.spec?.volumeMode !== old.spec?.volumeMode) {
    errors.immutable('spec.volumeMode', claim.spec?.volumeMode);
  }
}

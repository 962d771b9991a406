/** Validation of CustomResourceDefinitions, with upstream's texts and field paths. */
import { isDeepStrictEqual } from 'node:util';
import { dns1035Label, dns1123Subdomain, labelValue } from '../names.js';
import type {
  CustomResourceColumnDefinition,
  CustomResourceConversion,
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionVersion,
  CustomResourceSubresources,
  JSONSchemaProps,
  SelectableField,
} from '../types/apiextensions-v1.js';
import type { FieldErrors } from '../validation/field-errors.js';
import { JsonPath } from './json-path.js';
import { fieldsOf } from './scale.js';
import { validateSchema } from './schema-validation.js';
import { APPROVAL_ANNOTATION, approvalOf, isEstablished, isProtectedGroup } from './status.js';
import { structuralOf } from './structural.js';

/** A new definition. */
export function validateDefinition(errors: FieldErrors, definition: CustomResourceDefinition): void {
  checkSpec(errors, definition, undefined);
}

/** What did not change is taken as it is: rules may have become stricter since. */
export function validateDefinitionUpdate(
  errors: FieldErrors,
  definition: CustomResourceDefinition,
  old: CustomResourceDefinition,
): void {
  checkSpec(errors, definition, old);
  const { spec } = definition;
  const immutable = (field: string, value: string, before: string) => {
    if (value !== before) errors.immutable(field, value);
  };
  immutable('spec.group', spec.group, old.spec.group);
  immutable('spec.names.plural', spec.names.plural, old.spec.names.plural);
  if (isEstablished(old)) {
    immutable('spec.scope', spec.scope, old.spec.scope);
    immutable('spec.names.kind', spec.names.kind, old.spec.names.kind);
  }
  // The new storage version joins the stored ones when this is written.
  const stored = definition.status?.storedVersions ?? [];
  const storage = storageName(definition);
  const storedVersions = storage === undefined || stored.includes(storage) ? stored : [...stored, storage];
  checkStoredVersions(errors, { ...definition, status: { ...definition.status, storedVersions } });
}

const storageName = ({ spec }: CustomResourceDefinition) => spec.versions.find((version) => version.storage)?.name;

/** The status subresource: what has been stored must stay readable. */
export function validateDefinitionStatus(errors: FieldErrors, definition: CustomResourceDefinition): void {
  checkStoredVersions(errors, definition);
}

function checkStoredVersions(errors: FieldErrors, definition: CustomResourceDefinition): void {
  const { spec, status } = definition;
  const stored = status?.storedVersions ?? [];
  const field = 'status.storedVersions';
  if (stored.length === 0) errors.invalid(field, stored, 'must have at least one stored version');
  const storage = storageName(definition);
  stored.forEach((name, index) => {
    if (!spec.versions.some((version) => version.name === name)) {
      errors.invalid(`${field}[${index}]`, name, 'must appear in spec.versions');
    }
  });
  if (stored.length > 0 && storage !== undefined && !stored.includes(storage)) {
    errors.invalid(field, stored, `must have the storage version ${storage}`);
  }
}

function checkSpec(
  errors: FieldErrors,
  definition: CustomResourceDefinition,
  old: CustomResourceDefinition | undefined,
) {
  const { metadata, spec } = definition;
  if (spec === undefined || isDeepStrictEqual(spec, old?.spec)) return;
  const { group, names } = spec;
  const required = `${names?.plural ?? ''}.${group ?? ''}`;
  if (metadata.name !== required) {
    errors.invalid('metadata.name', metadata.name ?? '', 'must be spec.names.plural+"."+spec.group');
  }
  checkGroup(errors, group ?? '');
  if (!spec.scope) errors.required('spec.scope');
  else errors.oneOf('spec.scope', spec.scope, ['Cluster', 'Namespaced']);
  if (spec.preserveUnknownFields === true) {
    const why =
      'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead';
    errors.invalid('spec.preserveUnknownFields', true, why);
  }
  checkVersions(errors, spec.versions ?? [], old?.spec.versions ?? []);
  checkNames(errors, names ?? { kind: '', plural: '' });
  checkConversion(errors, spec.conversion);
  const annotation = metadata.annotations?.[APPROVAL_ANNOTATION];
  if (old === undefined && isProtectedGroup(group ?? '')) {
    const { ok, reason, message } = approvalOf(annotation);
    const field = `metadata.annotations[${APPROVAL_ANNOTATION}]`;
    if (reason === 'MissingAnnotation') errors.required(field, message);
    else if (!ok && reason === 'InvalidAnnotation') errors.invalid(field, annotation, message);
  }
}

function checkGroup(errors: FieldErrors, group: string): void {
  if (group === '') {
    errors.required('spec.group');
    return;
  }
  const complaints = dns1123Subdomain(group);
  if (complaints.length > 0) errors.invalid('spec.group', group, complaints.join(','));
  else if (!group.includes('.')) errors.invalid('spec.group', group, 'should be a domain with at least one dot');
}

function checkNames(errors: FieldErrors, names: CustomResourceDefinitionNames): void {
  const label = (field: string, value: string | undefined) => {
    if (!value) errors.required(field);
    else {
      const complaints = dns1035Label(value);
      if (complaints.length > 0) errors.invalid(field, value, complaints.join(','));
    }
  };
  const kind = (field: string, value: string | undefined) => {
    if (!value) errors.required(field);
    else {
      const complaints = dns1035Label(value.toLowerCase());
      if (complaints.length > 0) {
        errors.invalid(field, value, `may have mixed case, but should otherwise match: ${complaints.join(',')}`);
      }
    }
  };
  label('spec.names.plural', names.plural);
  label('spec.names.singular', names.singular);
  kind('spec.names.kind', names.kind);
  kind('spec.names.listKind', names.listKind);
  (names.shortNames ?? []).forEach((name, index) => label(`spec.names.shortNames[${index}]`, name));
  if (names.kind && names.kind === names.listKind) {
    errors.invalid('spec.names.listKind', names.listKind, 'kind and listKind may not be the same');
  }
  (names.categories ?? []).forEach((name, index) => label(`spec.names.categories[${index}]`, name));
}

type PerVersion = 'schema' | 'subresources' | 'additionalPrinterColumns' | 'selectableFields';
const SHARED: Readonly<Record<PerVersion, string>> = {
  schema: 'spec.validation',
  subresources: 'spec.subresources',
  additionalPrinterColumns: 'spec.additionalPrinterColumns',
  selectableFields: 'spec.selectableFields',
};

/** What all versions have in common is reported once, as if it were written beside them. */
function placesOf<K extends PerVersion>(
  versions: readonly CustomResourceDefinitionVersion[],
  name: K,
): { value: NonNullable<CustomResourceDefinitionVersion[K]> | undefined; path: string; index: number }[] {
  const shared =
    versions.length > 0 && versions.every((version) => isDeepStrictEqual(version[name], versions[0]?.[name]));
  if (shared) return [{ value: versions[0]?.[name] ?? undefined, path: SHARED[name], index: 0 }];
  return versions.map((version, index) => ({
    value: version[name] ?? undefined,
    path: `spec.versions[${index}].${name}`,
    index,
  }));
}

function checkVersions(
  errors: FieldErrors,
  versions: readonly CustomResourceDefinitionVersion[],
  old: readonly CustomResourceDefinitionVersion[],
): void {
  const names = new Set(versions.map(({ name }) => name));
  versions.forEach((version, index) => checkVersion(errors, version, `spec.versions[${index}]`));
  if (names.size < versions.length) errors.invalid('spec.versions', versions, 'must contain unique version names');
  if (versions.filter(({ storage }) => storage).length !== 1) {
    errors.invalid('spec.versions', versions, 'must have exactly one version marked as storage version');
  }
  for (const { value, path, index } of placesOf(versions, 'schema')) {
    const schema = value?.openAPIV3Schema;
    if (schema === undefined) errors.required(`spec.versions[${index}].schema.openAPIV3Schema`, 'schemas are required');
    else if (!old.some((version) => isDeepStrictEqual(version.schema?.openAPIV3Schema, schema))) {
      validateSchema(errors, schema, `${path}.openAPIV3Schema`);
    }
  }
  for (const { value, path } of placesOf(versions, 'subresources')) if (value) checkSubresources(errors, value, path);
  for (const { value, path } of placesOf(versions, 'additionalPrinterColumns')) {
    (value ?? []).forEach((column, index) => checkColumn(errors, column, `${path}[${index}]`));
  }
  for (const { value, path, index } of placesOf(versions, 'selectableFields')) {
    if (value) checkSelectable(errors, value, path, versions[index]?.schema?.openAPIV3Schema);
  }
}

function checkVersion(errors: FieldErrors, version: CustomResourceDefinitionVersion, path: string): void {
  const complaints = dns1035Label(version.name ?? '');
  if (complaints.length > 0) errors.invalid(`${path}.name`, version.name ?? '', complaints.join(','));
  const { deprecationWarning } = version;
  if (deprecationWarning === undefined) return;
  const field = `${path}.deprecationWarning`;
  if (version.deprecated !== true) {
    errors.invalid(field, deprecationWarning, 'can only be set for deprecated versions');
  }
  if (deprecationWarning === '') errors.invalid(field, '', 'must not be an empty string');
  else if (Buffer.byteLength(deprecationWarning) > 256) {
    errors.invalid(field, deprecationWarning, 'must be <= 256 characters');
  } else if (/\p{Cc}/u.test(deprecationWarning)) {
    const index = deprecationWarning.search(/\p{Cc}/u);
    const why = `must only contain printable UTF-8 characters; non-printable character found at index ${index}`;
    errors.invalid(field, deprecationWarning, why);
  }
}

/** Plain fields only: a path that is written as well as read. */
function isSimplePath(path: string): boolean {
  return /^(?:\.[A-Za-z_][A-Za-z0-9_-]*)+$/.test(path);
}

function checkSubresources(errors: FieldErrors, { scale }: CustomResourceSubresources, path: string): void {
  if (scale === undefined) return;
  const check = (name: string, value: string | undefined, roots: readonly string[], needed: boolean) => {
    const field = `${path}.scale.${name}`;
    if (!value) {
      if (needed) errors.required(field);
      return;
    }
    if (!isSimplePath(value))
      errors.invalid(field, value, 'is an invalid path: must be a simple json path with dots only');
    else if (!roots.some((root) => value.startsWith(`.${root}.`))) {
      const where = roots.length === 1 ? `.${roots[0]}` : 'either .spec or .status';
      errors.invalid(field, value, `should be a json path under ${where}`);
    }
  };
  check('specReplicasPath', scale.specReplicasPath, ['spec'], true);
  check('statusReplicasPath', scale.statusReplicasPath, ['status'], true);
  check('labelSelectorPath', scale.labelSelectorPath, ['spec', 'status'], false);
}

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string'];
const COLUMN_FORMATS = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

function checkColumn(errors: FieldErrors, column: CustomResourceColumnDefinition, path: string): void {
  if (!column.name) errors.required(`${path}.name`);
  if (!column.type) errors.required(`${path}.type`, `must be one of ${COLUMN_TYPES.join(',')}`);
  else if (!COLUMN_TYPES.includes(column.type)) {
    errors.invalid(`${path}.type`, column.type, `must be one of ${COLUMN_TYPES.join(',')}`);
  }
  if (column.format && !COLUMN_FORMATS.includes(column.format)) {
    errors.invalid(`${path}.format`, column.format, `must be one of ${COLUMN_FORMATS.join(',')}`);
  }
  if (!column.jsonPath) {
    errors.required(`${path}.jsonPath`);
    return;
  }
  try {
    if (!/^[.[]/.test(column.jsonPath)) throw new Error('must be a json path starting with . or [');
    JsonPath.parse(column.jsonPath);
  } catch (error) {
    errors.invalid(`${path}.jsonPath`, column.jsonPath, error instanceof Error ? error.message : String(error));
  }
}

/** Upstream's limit. */
const MAX_SELECTABLE = 8;
const SELECTABLE_TYPES = ['string', 'boolean', 'integer'];

function checkSelectable(
  errors: FieldErrors,
  fields: readonly SelectableField[],
  path: string,
  schema: JSONSchemaProps | undefined,
): void {
  if (fields.length > MAX_SELECTABLE) errors.tooMany(path, fields.length, MAX_SELECTABLE);
  const seen = new Set<string>();
  fields.forEach(({ jsonPath }, index) => {
    const at = `${path}[${index}].jsonPath`;
    if (!jsonPath) {
      errors.required(at);
      return;
    }
    if (seen.has(jsonPath)) errors.duplicate(at, jsonPath);
    seen.add(jsonPath);
    if (!isSimplePath(jsonPath)) {
      errors.invalid(at, jsonPath, 'is an invalid path: must be a simple json path with dots only');
      return;
    }
    const names = fieldsOf(jsonPath);
    if (names[0] === 'metadata') {
      errors.invalid(at, jsonPath, 'must not point to fields in metadata');
      return;
    }
    let node = schema === undefined ? undefined : structuralOf(schema);
    for (const name of names) node = node?.properties.get(name);
    if (node === undefined) errors.invalid(at, jsonPath, 'is an invalid path: does not refer to a valid field');
    else if (!SELECTABLE_TYPES.includes(node.type)) {
      const why =
        'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.';
      errors.invalid(at, jsonPath, why);
    }
  });
}

const REVIEW_VERSIONS = ['v1', 'v1beta1'];

function checkConversion(errors: FieldErrors, conversion: CustomResourceConversion | undefined): void {
  if (conversion === undefined) return;
  const path = 'spec.conversion';
  const { strategy, webhook } = conversion;
  if (!strategy) errors.required(`${path}.strategy`);
  else errors.oneOf(`${path}.strategy`, strategy, ['None', 'Webhook']);
  const client = webhook?.clientConfig;
  const versions = webhook?.conversionReviewVersions ?? [];
  if (strategy !== 'Webhook') {
    if (client !== undefined) {
      errors.forbidden(`${path}.webhookClientConfig`, 'should not be set when strategy is not set to Webhook');
    }
    if (versions.length > 0) {
      errors.forbidden(`${path}.conversionReviewVersions`, 'should not be set when strategy is not set to Webhook');
    }
    return;
  }
  if (client === undefined) {
    errors.required(`${path}.webhookClientConfig`, 'required when strategy is set to Webhook');
  } else if ((client.url === undefined) === (client.service === undefined)) {
    errors.required(`${path}.webhookClientConfig`, 'exactly one of url or service is required');
  } else if (client.url !== undefined) checkUrl(errors, client.url, `${path}.webhookClientConfig.url`);
  else checkService(errors, client.service, `${path}.webhookClientConfig.service`);
  if (versions.length === 0) errors.required(`${path}.conversionReviewVersions`);
  else if (!versions.some((version) => REVIEW_VERSIONS.includes(version))) {
    const why = `must include at least one of ${REVIEW_VERSIONS.join(', ')}`;
    errors.invalid(`${path}.conversionReviewVersions`, versions, why);
  }
}

function checkUrl(errors: FieldErrors, text: string, field: string): void {
  const form = 'desired format: https://host[/path]';
  if (!URL.canParse(text)) {
    errors.required(field, `url must be a valid URL: ${JSON.stringify(text)}; ${form}`);
    return;
  }
  const url = new URL(text);
  if (url.protocol !== 'https:') {
    errors.invalid(field, url.protocol.replace(':', ''), `'https' is the only allowed URL scheme; ${form}`);
  }
  if (url.host === '') errors.invalid(field, url.host, `host must be specified; ${form}`);
  if (url.username !== '') errors.invalid(field, url.username, `user information is not permitted in the URL`);
  if (url.hash !== '') errors.invalid(field, url.hash.slice(1), 'fragments are not permitted in the URL');
  if (url.search !== '') errors.invalid(field, url.search.slice(1), 'query parameters are not permitted in the URL');
}

function checkService(
  errors: FieldErrors,
  service: { name?: string; namespace?: string; path?: string; port?: number } | undefined,
  field: string,
): void {
  if (!service?.name) errors.required(`${field}.name`, 'service name is required');
  if (!service?.namespace) errors.required(`${field}.namespace`, 'service namespace is required');
  const port = service?.port ?? 443;
  if (port < 1 || port > 65535) {
    errors.invalid(`${field}.port`, port, 'port is not valid: must be between 1 and 65535, inclusive');
  }
  const { path } = service ?? {};
  if (!path || path === '/') return;
  if (!path.startsWith('/')) errors.invalid(`${field}.path`, path, "must start with a '/'");
  path
    .slice(1)
    .split('/')
    .forEach((step, index, steps) => {
      if (step === '' && index === steps.length - 1) return;
      if (step === '') errors.invalid(`${field}.path`, path, `segment[${index}] may not be empty`);
      else if (labelValue(step).length > 0) {
        errors.invalid(`${field}.path`, path, `segment[${index}]: ${labelValue(step).join(', ')}`);
      }
    });
}

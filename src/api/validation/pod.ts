/** Rules of pods and pod templates (core/v1 `ValidatePodSpec`, `ValidatePodUpdate`). */
import ipaddr from 'ipaddr.js';
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '../names.js';
import type { DeepReadonly } from '../object.js';
import { semanticEqual } from '../strategy/equality.js';
import type { Container, Pod, PodSpec, PodTemplateSpec, Toleration, Volume } from '../types/core-v1.js';
import { validateContainer, validateLocalPath } from './container.js';
import type { FieldErrors } from './field-errors.js';
import { validateAnnotations, validateLabels } from './metadata.js';

type ReadSpec = DeepReadonly<PodSpec>;

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];
const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

function validateItems(
  errors: FieldErrors,
  field: string,
  items: DeepReadonly<{ key: string; path: string }[]> | undefined,
): void {
  (items ?? []).forEach(({ key, path }, index) => {
    if (!key) errors.required(`${field}[${index}].key`);
    if (!path) errors.required(`${field}[${index}].path`);
    else validateLocalPath(errors, `${field}[${index}].path`, path);
  });
}

function validateMode(errors: FieldErrors, field: string, mode: number | undefined): void {
  if (mode !== undefined && (mode < 0 || mode > 0o777)) {
    errors.invalid(field, mode, 'must be a number between 0 and 0777 (octal), both inclusive');
  }
}

function validateSource(errors: FieldErrors, at: string, volume: DeepReadonly<Volume>): void {
  const { hostPath, secret, configMap, projected, persistentVolumeClaim, emptyDir, nfs } = volume;
  if (hostPath !== undefined && !hostPath.path) errors.required(`${at}.hostPath.path`);
  if (hostPath?.path?.split('/').includes('..') === true) {
    errors.invalid(`${at}.hostPath.path`, hostPath.path, "must not contain '..'");
  }
  if (secret !== undefined) {
    if (!secret.secretName) errors.required(`${at}.secret.secretName`);
    validateMode(errors, `${at}.secret.defaultMode`, secret.defaultMode);
    validateItems(errors, `${at}.secret.items`, secret.items);
  }
  if (configMap !== undefined) {
    if (!configMap.name) errors.required(`${at}.configMap.name`);
    validateMode(errors, `${at}.configMap.defaultMode`, configMap.defaultMode);
    validateItems(errors, `${at}.configMap.items`, configMap.items);
  }
  if (projected !== undefined) validateMode(errors, `${at}.projected.defaultMode`, projected.defaultMode);
  if (persistentVolumeClaim !== undefined && !persistentVolumeClaim.claimName) {
    errors.required(`${at}.persistentVolumeClaim.claimName`);
  }
  if (String(emptyDir?.sizeLimit ?? '').startsWith('-')) {
    errors.forbidden(`${at}.emptyDir.sizeLimit`, 'SizeLimit field must be a valid resource quantity');
  }
  if (nfs !== undefined) {
    if (!nfs.server) errors.required(`${at}.nfs.server`);
    if (!nfs.path) errors.required(`${at}.nfs.path`);
    else if (!nfs.path.startsWith('/')) errors.invalid(`${at}.nfs.path`, nfs.path, 'must be an absolute path');
  }
}

/** Returns the names that containers may mount. */
function validateVolumes(errors: FieldErrors, field: string, volumes: ReadSpec['volumes']): ReadonlySet<string> {
  const names = new Set<string>();
  (volumes ?? []).forEach((volume, index) => {
    const at = `${field}[${index}]`;
    const sources = Object.keys(volume).filter((key) => key !== 'name');
    if (sources.length === 0) errors.required(at, 'must specify a volume type');
    for (const extra of sources.slice(1)) errors.forbidden(`${at}.${extra}`, 'may not specify more than 1 volume type');
    validateSource(errors, at, volume);
    if (!volume.name) errors.required(`${at}.name`);
    else errors.check(`${at}.name`, volume.name, dns1123Label);
    if (volume.name && names.has(volume.name)) errors.duplicate(`${at}.name`, volume.name);
    names.add(volume.name);
  });
  return names;
}

function validateTolerations(errors: FieldErrors, field: string, tolerations: ReadSpec['tolerations']): void {
  (tolerations ?? []).forEach((toleration, index) => {
    const at = `${field}[${index}]`;
    const { key, operator = 'Equal', value, effect, tolerationSeconds } = toleration;
    if (key) errors.check(`${at}.key`, key, qualifiedName);
    else if (operator !== 'Exists') {
      errors.invalid(
        `${at}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      );
    }
    if (operator === 'Equal') {
      if (value) errors.check(`${at}.operator`, value, labelValue);
    } else if (operator === 'Exists') {
      if (value) errors.invalid(`${at}.operator`, toleration, "value must be empty when `operator` is 'Exists'");
    } else errors.notSupported(`${at}.operator`, operator, ['Equal', 'Exists']);
    if (effect) errors.oneOf(`${at}.effect`, effect, EFFECTS);
    if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
      errors.invalid(`${at}.effect`, effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set");
    }
  });
}

function validateContainers(errors: FieldErrors, at: string, spec: ReadSpec, volumes: ReadonlySet<string>): void {
  const names = new Set<string>();
  const containers = spec.containers ?? [];
  if (containers.length === 0) errors.required(`${at}.containers`);
  containers.forEach((container, index) => {
    const role = { init: false, ephemeral: false };
    validateContainer(errors, `${at}.containers[${index}]`, container, role, volumes, names);
  });
  (spec.initContainers ?? []).forEach((container, index) => {
    const role = { init: true, ephemeral: false };
    validateContainer(errors, `${at}.initContainers[${index}]`, container, role, volumes, names);
  });
  (spec.ephemeralContainers ?? []).forEach((container, index) => {
    const field = `${at}.ephemeralContainers[${index}]`;
    const role = { init: false, ephemeral: true };
    validateContainer(errors, field, container as DeepReadonly<Container>, role, volumes, names);
    const target = container.targetContainerName;
    if (target && !containers.some(({ name }) => name === target))
      errors.notFound(`${field}.targetContainerName`, target);
  });
  hostPortConflicts(errors, at, containers, spec.hostNetwork === true);
}

function hostPortConflicts(
  errors: FieldErrors,
  at: string,
  containers: readonly DeepReadonly<Container>[],
  hostNetwork: boolean,
): void {
  const taken = new Set<string>();
  containers.forEach(({ ports = [] }, index) => {
    ports.forEach(({ hostPort, hostIP = '', protocol, containerPort }, at2) => {
      if (!hostPort) return;
      const field = `${at}.containers[${index}].ports[${at2}]`;
      if (hostNetwork && hostPort !== containerPort) {
        errors.invalid(`${field}.containerPort`, containerPort, 'must match `hostPort` when `hostNetwork` is true');
      }
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (taken.has(key)) errors.duplicate(`${field}.hostPort`, key);
      taken.add(key);
    });
  });
}

function validateNames(errors: FieldErrors, at: string, spec: ReadSpec): void {
  if (spec.serviceAccountName) errors.check(`${at}.serviceAccountName`, spec.serviceAccountName, dns1123Subdomain);
  if (spec.nodeName) errors.check(`${at}.nodeName`, spec.nodeName, dns1123Subdomain);
  if (spec.hostname) errors.check(`${at}.hostname`, spec.hostname, dns1123Label);
  if (spec.subdomain) errors.check(`${at}.subdomain`, spec.subdomain, dns1123Label);
  if (spec.priorityClassName) errors.check(`${at}.priorityClassName`, spec.priorityClassName, dns1123Subdomain);
  if (spec.runtimeClassName) errors.check(`${at}.runtimeClassName`, spec.runtimeClassName, dns1123Subdomain);
  validateLabels(errors, `${at}.nodeSelector`, spec.nodeSelector);
  (spec.hostAliases ?? []).forEach(({ ip, hostnames }, index) => {
    if (!ipaddr.isValid(ip)) {
      errors.invalid(
        `${at}.hostAliases[${index}].ip`,
        ip,
        'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      );
    }
    for (const name of hostnames ?? []) errors.check(`${at}.hostAliases[${index}].hostnames`, name, dns1123Subdomain);
  });
}

function validateDns(errors: FieldErrors, at: string, spec: ReadSpec): void {
  if (!spec.dnsPolicy) errors.required(`${at}.dnsPolicy`);
  else errors.oneOf(`${at}.dnsPolicy`, spec.dnsPolicy, DNS_POLICIES);
  const nameservers = spec.dnsConfig?.nameservers ?? [];
  if (spec.dnsPolicy === 'None' && nameservers.length === 0) {
    errors.required(
      spec.dnsConfig === undefined ? `${at}.dnsConfig` : `${at}.dnsConfig.nameservers`,
      `must provide at least one DNS nameserver when \`dnsPolicy\` is None`,
    );
  }
  if (nameservers.length > 3)
    errors.invalid(`${at}.dnsConfig.nameservers`, nameservers, 'must not have more than 3 nameservers');
  nameservers.forEach((ip, index) => {
    if (!ipaddr.isValid(ip)) {
      const text = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
      errors.invalid(`${at}.dnsConfig.nameservers[${index}]`, ip, text);
    }
  });
}

export function validatePodSpec(errors: FieldErrors, at: string, spec: ReadSpec | undefined): void {
  if (spec === undefined) {
    errors.required(`${at}.containers`);
    return;
  }
  const volumes = validateVolumes(errors, `${at}.volumes`, spec.volumes);
  validateContainers(errors, at, spec, volumes);
  if (!spec.restartPolicy) errors.required(`${at}.restartPolicy`);
  else errors.oneOf(`${at}.restartPolicy`, spec.restartPolicy, RESTART_POLICIES);
  validateDns(errors, at, spec);
  validateNames(errors, at, spec);
  validateTolerations(errors, `${at}.tolerations`, spec.tolerations);
  errors.nonNegative(`${at}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds);
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647)) {
    errors.invalid(`${at}.activeDeadlineSeconds`, deadline, 'must be between 1 and 2147483647, inclusive');
  }
  (spec.imagePullSecrets ?? []).forEach(({ name }, index) => {
    if (!name) errors.invalid(`${at}.imagePullSecrets[${index}].name`, name ?? '', 'must not be empty');
  });
}

/** The template of a workload; its pods must restart for ever where `restart` says so. */
export function validatePodTemplate(
  errors: FieldErrors,
  at: string,
  template: DeepReadonly<PodTemplateSpec> | undefined,
  restart: readonly string[],
): void {
  validateLabels(errors, `${at}.metadata.labels`, template?.metadata?.labels);
  validateAnnotations(errors, `${at}.metadata.annotations`, template?.metadata?.annotations);
  validatePodSpec(errors, `${at}.spec`, template?.spec);
  if ((template?.spec?.ephemeralContainers ?? []).length > 0) {
    errors.forbidden(`${at}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template');
  }
  const policy = template?.spec?.restartPolicy;
  if (policy !== undefined && RESTART_POLICIES.includes(policy) && !restart.includes(policy)) {
    errors.notSupported(`${at}.spec.restartPolicy`, policy, restart);
  }
}

const FROZEN_TEXT =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** The spec with everything that may change taken from `old`. */
function withOldMutable(spec: ReadSpec, old: ReadSpec): ReadSpec {
  const images = (list: ReadSpec['containers'] | undefined, before: ReadSpec['containers'] | undefined) =>
    list?.map((container, index) => {
      const image = before?.[index]?.image;
      return image === undefined ? container : { ...container, image };
    });
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, initContainers, ...rest } = spec;
  const gated = (old.schedulingGates ?? []).length > 0;
  return {
    ...rest,
    containers: images(spec.containers, old.containers) ?? [],
    ...(initContainers === undefined ? {} : { initContainers: images(initContainers, old.initContainers) ?? [] }),
    ...(old.activeDeadlineSeconds === undefined ? {} : { activeDeadlineSeconds: old.activeDeadlineSeconds }),
    ...(old.tolerations === undefined ? {} : { tolerations: old.tolerations }),
    ...(gated ? { schedulingGates: old.schedulingGates ?? [], nodeSelector: old.nodeSelector ?? {} } : {}),
    ...(old.terminationGracePeriodSeconds !== undefined && old.terminationGracePeriodSeconds < 0
      ? { terminationGracePeriodSeconds: old.terminationGracePeriodSeconds }
      : {}),
  };
}

const sameToleration = (a: DeepReadonly<Toleration>, b: DeepReadonly<Toleration>) =>
  semanticEqual({ ...a, tolerationSeconds: 0 }, { ...b, tolerationSeconds: 0 });

export function validatePodUpdate(errors: FieldErrors, pod: DeepReadonly<Pod>, before: DeepReadonly<Pod>): void {
  const { spec } = pod;
  const old = before.spec;
  if (spec === undefined || old === undefined) return;
  for (const list of ['containers', 'initContainers'] as const) {
    if ((spec[list] ?? []).length !== (old[list] ?? []).length) {
      errors.forbidden(`spec.${list}`, 'pod updates may not add or remove containers');
      return;
    }
    (spec[list] ?? []).forEach(({ image }, index) => {
      if (!image) errors.required(`spec.${list}[${index}].image`);
    });
  }
  const deadline = spec.activeDeadlineSeconds;
  if (old.activeDeadlineSeconds !== undefined) {
    if (deadline === undefined)
      errors.invalid('spec.activeDeadlineSeconds', null, 'must not update from a positive integer to nil value');
    else if (deadline > old.activeDeadlineSeconds) {
      errors.invalid('spec.activeDeadlineSeconds', deadline, 'must be less than or equal to previous value');
    }
  }
  for (const toleration of old.tolerations ?? []) {
    if (!(spec.tolerations ?? []).some((entry) => sameToleration(entry, toleration))) {
      errors.forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds');
      break;
    }
  }
  const gates = new Set((old.schedulingGates ?? []).map(({ name }) => name));
  for (const { name } of spec.schedulingGates ?? []) {
    if (!gates.has(name))
      errors.forbidden('spec.schedulingGates', 'only deletion is allowed, but found new scheduling gate');
  }
  const compared = withOldMutable(spec, old);
  if (!semanticEqual(compared, old)) errors.forbidden('spec', `${FROZEN_TEXT}\n${difference(compared, old)}`);
}

/** Ephemeral containers are only ever added. */
export function validateEphemeralUpdate(errors: FieldErrors, pod: DeepReadonly<Pod>, old: DeepReadonly<Pod>): void {
  const now = new Map((pod.spec?.ephemeralContainers ?? []).map((container) => [container.name, container]));
  for (const container of old.spec?.ephemeralContainers ?? []) {
    const found = now.get(container.name);
    const name = JSON.stringify(container.name);
    if (found === undefined) {
      errors.forbidden('spec.ephemeralContainers', `existing ephemeral containers ${name} may not be removed\n`);
    } else if (!semanticEqual(found, container)) {
      errors.forbidden('spec.ephemeralContainers', `existing ephemeral containers ${name} may not be changed\n`);
    }
  }
}

/** The fields that differ, one a line. */
function difference(now: object, before: object): string {
  const left = now as Record<string, unknown>;
  const right = before as Record<string, unknown>;
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])].toSorted();
  return keys
    .filter((key) => !semanticEqual(left[key], right[key]))
    .map((key) => `-\t${key}: ${JSON.stringify(right[key])}\n+\t${key}: ${JSON.stringify(left[key])}\n`)
    .join('');
}

/** Rules of a pod's spec, in pods and in templates (core/v1 `ValidatePodSpec`). */
import ipaddr from 'ipaddr.js';
import { dns1123Label, dns1123Subdomain, qualifiedName } from '../names.js';
import type { DeepReadonly } from '../object.js';
import type { Container, Pod, PodSpec } from '../types/core-v1.js';
import { validateAffinity, validateSpread } from './affinity.js';
import { validateContainer } from './container.js';
import type { FieldErrors } from './field-errors.js';
import { validateLabels } from './metadata.js';
import { validatePodSecurity } from './security-context.js';
import { BAD_IP, validateAmounts } from './selectors.js';
import { validateTolerations } from './tolerations.js';
import { validateVolumes, type VolumeNames } from './volumes.js';

type ReadSpec = DeepReadonly<PodSpec>;

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];

function validateContainers(errors: FieldErrors, at: string, spec: ReadSpec, volumes: VolumeNames): void {
  const names = new Set<string>();
  const graceSeconds = spec.terminationGracePeriodSeconds ?? 30;
  const containers = spec.containers ?? [];
  if (containers.length === 0) errors.required(`${at}.containers`);
  containers.forEach((container, index) => {
    const role = { init: false, ephemeral: false, graceSeconds };
    validateContainer(errors, `${at}.containers[${index}]`, container, role, volumes, names);
  });
  (spec.initContainers ?? []).forEach((container, index) => {
    const role = { init: true, ephemeral: false, graceSeconds };
    validateContainer(errors, `${at}.initContainers[${index}]`, container, role, volumes, names);
  });
  (spec.ephemeralContainers ?? []).forEach((container, index) => {
    const field = `${at}.ephemeralContainers[${index}]`;
    const role = { init: false, ephemeral: true, graceSeconds };
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
      errors.invalid(`${at}.hostAliases[${index}].ip`, ip, BAD_IP);
    }
    for (const name of hostnames ?? []) errors.check(`${at}.hostAliases[${index}].hostnames`, name, dns1123Subdomain);
  });
}

/** Upstream's limits of what a resolver is told. */
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARACTERS = 2048;

function validateDns(errors: FieldErrors, at: string, spec: ReadSpec): void {
  if (!spec.dnsPolicy) errors.required(`${at}.dnsPolicy`);
  else errors.oneOf(`${at}.dnsPolicy`, spec.dnsPolicy, DNS_POLICIES);
  const { nameservers = [], searches = [], options = [] } = spec.dnsConfig ?? {};
  const field = `${at}.dnsConfig`;
  if (spec.dnsPolicy === 'None' && nameservers.length === 0) {
    errors.required(
      spec.dnsConfig === undefined ? field : `${field}.nameservers`,
      'must provide at least one DNS nameserver when `dnsPolicy` is None',
    );
  }
  if (nameservers.length > MAX_NAMESERVERS) {
    errors.invalid(`${field}.nameservers`, nameservers, `must not have more than ${MAX_NAMESERVERS} nameservers`);
  }
  nameservers.forEach((ip, index) => {
    if (!ipaddr.isValid(ip)) errors.invalid(`${field}.nameservers[${index}]`, ip, BAD_IP);
  });
  if (searches.length > MAX_SEARCHES) {
    errors.invalid(`${field}.searches`, searches, `must not have more than ${MAX_SEARCHES} search paths`);
  }
  if (searches.join(' ').length > MAX_SEARCH_CHARACTERS) {
    const text = `must not have more than ${MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list`;
    errors.invalid(`${field}.searches`, searches, text);
  }
  searches.forEach((domain, index) => {
    if (domain === '.') return;
    errors.check(`${field}.searches[${index}]`, domain.replace(/\.$/, ''), dns1123Subdomain);
  });
  options.forEach(({ name }, index) => {
    if (!name) errors.required(`${field}.options[${index}]`, 'must not be empty');
  });
}

/** What a pod waits for: before it is scheduled, and before it is ready. */
function validateGates(errors: FieldErrors, at: string, spec: ReadSpec): void {
  spec.readinessGates?.forEach(({ conditionType }, index) =>
    errors.check(`${at}.readinessGates[${index}].conditionType`, conditionType ?? '', qualifiedName),
  );
  const gates = new Set<string>();
  spec.schedulingGates?.forEach(({ name }, index) => {
    const field = `${at}.schedulingGates[${index}]`;
    errors.check(field, name ?? '', qualifiedName);
    if (gates.has(name)) errors.duplicate(field, name);
    gates.add(name);
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
  validateGates(errors, at, spec);
  validateNames(errors, at, spec);
  validatePodSecurity(errors, at, spec);
  validateAffinity(errors, `${at}.affinity`, spec.affinity);
  validateSpread(errors, `${at}.topologySpreadConstraints`, spec.topologySpreadConstraints);
  validateTolerations(errors, `${at}.tolerations`, spec.tolerations);
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined) errors.between(`${at}.activeDeadlineSeconds`, deadline, 1, 2147483647);
  spec.imagePullSecrets?.forEach(({ name }, index) => {
    if (!name) errors.invalid(`${at}.imagePullSecrets[${index}].name`, name ?? '', 'must not be empty');
  });
  if (spec.overhead !== undefined) validateAmounts(errors, `${at}.overhead`, spec.overhead);
  if (spec.os !== undefined) errors.requiredOneOf(`${at}.os.name`, spec.os.name, ['linux', 'windows']);
}

/** A pod itself, on its way in and on every change. */
export function validatePod(errors: FieldErrors, { spec }: DeepReadonly<Pod>): void {
  validatePodSpec(errors, 'spec', spec);
}

/** What only a new pod must not have. */
export function validatePodCreate(errors: FieldErrors, { spec }: DeepReadonly<Pod>): void {
  if (spec?.nodeName && (spec.schedulingGates ?? []).length > 0) {
    errors.forbidden('spec.nodeName', 'cannot be set until all schedulingGates have been cleared');
  }
  if ((spec?.ephemeralContainers ?? []).length > 0) {
    errors.forbidden('spec.ephemeralContainers', 'cannot be set on create');
  }
}

/** The addresses that a node reports. */
export function validatePodStatus(errors: FieldErrors, { status }: DeepReadonly<Pod>): void {
  status?.podIPs?.forEach(({ ip }, index) => {
    if (!ipaddr.isValid(ip ?? '')) errors.invalid(`status.podIPs[${index}]`, ip ?? '', BAD_IP);
  });
  errors.optionalName('status.nominatedNodeName', status?.nominatedNodeName, dns1123Subdomain);
}

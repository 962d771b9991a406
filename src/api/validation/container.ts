/** Rules of containers (core/v1 `validateContainers`): names, ports, env, mounts, probes, hooks. */
import ipaddr from 'ipaddr.js';
import { configMapKey, dns1123Label, envVarName, httpHeaderName, portName, portNumber } from '../names.js';
import type { DeepReadonly } from '../object.js';
import type { Container, EnvVar, HTTPGetAction, LifecycleHandler, Probe } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import { ENV_FIELDS, validateFieldRef, validateResourceFieldRef } from './field-references.js';
import { BAD_IP, validateResources } from './selectors.js';
import { validateSecurityContext } from './security-context.js';
import { validateLocalPath, type VolumeNames } from './volumes.js';

type ReadContainer = DeepReadonly<Container>;

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];

function validatePorts(errors: FieldErrors, field: string, ports: ReadContainer['ports']): void {
  const names = new Set<string>();
  (ports ?? []).forEach((port, index) => {
    const at = `${field}[${index}]`;
    if (port.name) {
      errors.check(`${at}.name`, port.name, portName);
      if (names.has(port.name)) errors.duplicate(`${at}.name`, port.name);
      names.add(port.name);
    }
    if (!port.containerPort) errors.required(`${at}.containerPort`);
    else checkNumber(errors, `${at}.containerPort`, port.containerPort);
    if (port.hostPort) checkNumber(errors, `${at}.hostPort`, port.hostPort);
    if (port.hostIP && !ipaddr.isValid(port.hostIP)) errors.invalid(`${at}.hostIP`, port.hostIP, BAD_IP);
    if (!port.protocol) errors.required(`${at}.protocol`);
    else errors.oneOf(`${at}.protocol`, port.protocol, PROTOCOLS);
  });
}

function checkNumber(errors: FieldErrors, field: string, port: number): void {
  for (const detail of portNumber(port)) errors.invalid(field, port, detail);
}

/** A port by number or by IANA name. */
export function validatePortReference(errors: FieldErrors, field: string, port: number | string | undefined): void {
  if (typeof port === 'string') errors.check(field, port, portName);
  else checkNumber(errors, field, port ?? 0);
}

function validateEnv(errors: FieldErrors, field: string, env: DeepReadonly<EnvVar[]> | undefined): void {
  (env ?? []).forEach((variable, index) => {
    const at = `${field}[${index}]`;
    if (!variable.name) errors.required(`${at}.name`);
    else errors.check(`${at}.name`, variable.name, envVarName);
    const { valueFrom } = variable;
    if (valueFrom === undefined) return;
    const sources = [valueFrom.fieldRef, valueFrom.resourceFieldRef, valueFrom.configMapKeyRef, valueFrom.secretKeyRef];
    const count = sources.filter((source) => source !== undefined).length;
    if (count === 0) {
      errors.invalid(
        `${at}.valueFrom`,
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
      );
    } else if (variable.value) {
      errors.invalid(`${at}.valueFrom`, '', 'may not be specified when `value` is not empty');
    } else if (count > 1) {
      errors.invalid(`${at}.valueFrom`, '', 'may not have more than one field specified at a time');
    }
    for (const source of ['configMapKeyRef', 'secretKeyRef'] as const) {
      const reference = valueFrom[source];
      if (reference === undefined) continue;
      if (!reference.name) errors.required(`${at}.valueFrom.${source}.name`);
      if (!reference.key) errors.required(`${at}.valueFrom.${source}.key`);
      else errors.check(`${at}.valueFrom.${source}.key`, reference.key, configMapKey);
    }
    const { fieldRef, resourceFieldRef } = valueFrom;
    if (fieldRef !== undefined) validateFieldRef(errors, `${at}.valueFrom.fieldRef`, fieldRef, ENV_FIELDS);
    if (resourceFieldRef !== undefined) {
      validateResourceFieldRef(errors, `${at}.valueFrom.resourceFieldRef`, resourceFieldRef, false);
    }
  });
}

function validateEnvFrom(errors: FieldErrors, field: string, sources: ReadContainer['envFrom']): void {
  (sources ?? []).forEach(({ prefix, configMapRef, secretRef }, index) => {
    const at = `${field}[${index}]`;
    if (prefix) errors.check(`${at}.prefix`, prefix, envVarName);
    if (configMapRef === undefined && secretRef === undefined) {
      errors.invalid(at, '', 'must specify one of: `configMapRef` or `secretRef`');
    } else if (configMapRef !== undefined && secretRef !== undefined) {
      errors.invalid(at, '', 'may not have more than one field specified at a time');
    }
    if (configMapRef !== undefined && !configMapRef.name) errors.required(`${at}.configMapRef.name`);
    if (secretRef !== undefined && !secretRef.name) errors.required(`${at}.secretRef.name`);
  });
}

const PROPAGATIONS = ['Bidirectional', 'HostToContainer', 'None'];

function validateMounts(errors: FieldErrors, field: string, container: ReadContainer, volumes: VolumeNames): void {
  const paths = new Set<string>();
  const devices = new Set(container.volumeDevices?.map(({ devicePath }) => devicePath));
  container.volumeMounts?.forEach((mount, index) => {
    const at = `${field}[${index}]`;
    if (!mount.name) errors.required(`${at}.name`);
    else if (!volumes.has(mount.name)) errors.notFound(`${at}.name`, mount.name);
    if (!mount.mountPath) errors.required(`${at}.mountPath`);
    if (paths.has(mount.mountPath)) errors.invalid(`${at}.mountPath`, mount.mountPath, 'must be unique');
    paths.add(mount.mountPath);
    if (devices.has(mount.mountPath)) {
      errors.invalid(`${at}.mountPath`, mount.mountPath, 'must not already exist as a path in volumeDevices');
    }
    if (mount.subPath) validateLocalPath(errors, `${at}.subPath`, mount.subPath);
    if (mount.subPathExpr) {
      if (mount.subPath) {
        errors.invalid(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive');
      }
      validateLocalPath(errors, `${at}.subPathExpr`, mount.subPathExpr);
    }
    if (mount.mountPropagation === undefined) return;
    errors.oneOf(`${at}.mountPropagation`, mount.mountPropagation, PROPAGATIONS);
    if (mount.mountPropagation === 'Bidirectional' && container.securityContext?.privileged !== true) {
      const text = 'Bidirectional mount propagation is available only to privileged containers';
      errors.forbidden(`${at}.mountPropagation`, text);
    }
  });
}

function validateDevices(errors: FieldErrors, field: string, container: ReadContainer, volumes: VolumeNames): void {
  const paths = new Set<string>();
  const names = new Set<string>();
  const mounted = new Set(container.volumeMounts?.map(({ name }) => name));
  container.volumeDevices?.forEach(({ name, devicePath }, index) => {
    const at = `${field}[${index}]`;
    if (!name) errors.required(`${at}.name`);
    else if (names.has(name)) errors.invalid(`${at}.name`, name, 'must be unique');
    else if (!volumes.has(name)) errors.notFound(`${at}.name`, name);
    else if (volumes.get(name) !== 'claim') {
      errors.invalid(
        `${at}.name`,
        name,
        'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
      );
    }
    if (!devicePath) errors.required(`${at}.devicePath`);
    else if (paths.has(devicePath)) errors.invalid(`${at}.devicePath`, devicePath, 'must be unique');
    else if (devicePath.split('/').includes('..')) {
      errors.invalid(`${at}.devicePath`, devicePath, 'can not contain backsteps ("..")');
    }
    if (mounted.has(name)) errors.invalid(`${at}.name`, name, 'must not already exist in volumeMounts');
    names.add(name);
    paths.add(devicePath);
  });
}

function validateHttpGet(errors: FieldErrors, field: string, get: DeepReadonly<HTTPGetAction>): void {
  if (!get.path) errors.required(`${field}.path`);
  validatePortReference(errors, `${field}.port`, get.port);
  errors.oneOf(`${field}.scheme`, get.scheme, ['HTTP', 'HTTPS']);
  (get.httpHeaders ?? []).forEach((header, index) => {
    errors.check(`${field}.httpHeaders[${index}].name`, header.name ?? '', httpHeaderName);
  });
}

function validateHandler(
  errors: FieldErrors,
  field: string,
  handler: DeepReadonly<LifecycleHandler & Probe>,
  graceSeconds = 0,
): void {
  const kinds = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep'] as const;
  let found = 0;
  for (const kind of kinds) {
    if (handler[kind] === undefined) continue;
    if (found++ > 0) errors.forbidden(`${field}.${kind}`, 'may not specify more than 1 handler type');
  }
  if (found === 0) errors.required(field, 'must specify a handler type');
  if (handler.exec !== undefined && (handler.exec.command ?? []).length === 0) errors.required(`${field}.exec.command`);
  if (handler.httpGet !== undefined) validateHttpGet(errors, `${field}.httpGet`, handler.httpGet);
  if (handler.tcpSocket !== undefined) validatePortReference(errors, `${field}.tcpSocket.port`, handler.tcpSocket.port);
  const seconds = handler.sleep?.seconds;
  if (seconds !== undefined && (seconds <= 0 || seconds > graceSeconds)) {
    const text = `must be greater than 0 and less than terminationGracePeriodSeconds (${graceSeconds}). Enable PodLifecycleSleepActionAllowZero feature gate for zero sleep.`;
    errors.invalid(`${field}.sleep`, seconds, text);
  }
  if (handler.grpc !== undefined) checkNumber(errors, `${field}.grpc.port`, handler.grpc.port ?? 0);
}

function validateProbe(
  errors: FieldErrors,
  field: string,
  probe: DeepReadonly<Probe> | undefined,
  once: boolean,
): void {
  if (probe === undefined) return;
  validateHandler(errors, field, probe);
  for (const name of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const) {
    errors.nonNegative(`${field}.${name}`, probe[name]);
  }
  if (once && probe.successThreshold !== undefined && probe.successThreshold !== 1) {
    errors.invalid(`${field}.successThreshold`, probe.successThreshold, 'must be 1');
  }
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) {
    errors.invalid(`${field}.terminationGracePeriodSeconds`, grace, 'must be greater than 0');
  }
  if (!once && grace !== undefined) {
    errors.invalid(`${field}.terminationGracePeriodSeconds`, grace, 'must not be set for readinessProbes');
  }
}

/** What is expected of a container by its place in the pod. */
export interface ContainerRole {
  readonly init: boolean;
  readonly ephemeral: boolean;
  /** The pod's `terminationGracePeriodSeconds`. */
  readonly graceSeconds: number;
}

function validateLifecycle(errors: FieldErrors, at: string, container: ReadContainer, role: ContainerRole): void {
  const sidecar = role.init && container.restartPolicy === 'Always';
  if (role.init && !sidecar) {
    for (const name of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
      if (container[name] !== undefined) {
        errors.forbidden(`${at}.${name}`, 'may not be set for init containers without restartPolicy=Always');
      }
    }
    return;
  }
  if (role.ephemeral) {
    for (const name of ['ports', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'] as const) {
      if (container[name] !== undefined) errors.forbidden(`${at}.${name}`, 'cannot be set for an Ephemeral Container');
    }
    return;
  }
  const { postStart, preStop } = container.lifecycle ?? {};
  if (postStart !== undefined) validateHandler(errors, `${at}.lifecycle.postStart`, postStart, role.graceSeconds);
  if (preStop !== undefined) validateHandler(errors, `${at}.lifecycle.preStop`, preStop, role.graceSeconds);
  validateProbe(errors, `${at}.livenessProbe`, container.livenessProbe, true);
  validateProbe(errors, `${at}.readinessProbe`, container.readinessProbe, false);
  validateProbe(errors, `${at}.startupProbe`, container.startupProbe, true);
}

/** Validates one container; `names` holds the names that are taken in the pod. */
export function validateContainer(
  errors: FieldErrors,
  at: string,
  container: ReadContainer,
  role: ContainerRole,
  volumes: VolumeNames,
  names: Set<string>,
): void {
  const { name, image } = container;
  if (!name) errors.required(`${at}.name`);
  else {
    errors.check(`${at}.name`, name, dns1123Label);
    if (names.has(name)) errors.duplicate(`${at}.name`, name);
    names.add(name);
  }
  if (!image) errors.required(`${at}.image`);
  else if (image !== image.trim()) errors.invalid(`${at}.image`, image, 'must not have leading or trailing whitespace');
  errors.oneOf(`${at}.imagePullPolicy`, container.imagePullPolicy, PULL_POLICIES);
  errors.oneOf(`${at}.terminationMessagePolicy`, container.terminationMessagePolicy, ['FallbackToLogsOnError', 'File']);
  if (container.restartPolicy !== undefined && (!role.init || container.restartPolicy !== 'Always')) {
    if (role.init) errors.notSupported(`${at}.restartPolicy`, container.restartPolicy, ['Always']);
    else errors.forbidden(`${at}.restartPolicy`, 'may not be set for non-init containers');
  }
  validatePorts(errors, `${at}.ports`, container.ports);
  validateEnv(errors, `${at}.env`, container.env);
  validateEnvFrom(errors, `${at}.envFrom`, container.envFrom);
  if (container.volumeMounts !== undefined) validateMounts(errors, `${at}.volumeMounts`, container, volumes);
  if (container.volumeDevices !== undefined) validateDevices(errors, `${at}.volumeDevices`, container, volumes);
  validateSecurityContext(errors, `${at}.securityContext`, container.securityContext);
  validateResources(errors, `${at}.resources`, container.resources);
  validateLifecycle(errors, at, container, role);
}

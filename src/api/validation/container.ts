/** Rules of containers (core/v1 `validateContainers`): names, ports, env, mounts, probes, hooks. */
import { configMapKey, dns1123Label, envVarName, httpHeaderName, portName, portNumber } from '../names.js';
import type { DeepReadonly } from '../object.js';
import type { Container, EnvVar, HTTPGetAction, LifecycleHandler, Probe } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import { validateResources } from './selectors.js';

type ReadContainer = DeepReadonly<Container>;

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const FIELD_REFS = new Set([
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'metadata.labels',
  'metadata.annotations',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
]);

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
    if (valueFrom.fieldRef !== undefined) validateFieldRef(errors, `${at}.valueFrom.fieldRef`, valueFrom.fieldRef);
    if (valueFrom.resourceFieldRef !== undefined && !valueFrom.resourceFieldRef.resource) {
      errors.required(`${at}.valueFrom.resourceFieldRef.resource`);
    }
  });
}

function validateFieldRef(errors: FieldErrors, field: string, ref: { readonly fieldPath?: string }): void {
  const path = ref.fieldPath ?? '';
  if (path === '') {
    errors.required(`${field}.fieldPath`);
    return;
  }
  const base = /^(metadata\.(?:labels|annotations))\['.+'\]$/.exec(path)?.[1] ?? path;
  if (!FIELD_REFS.has(base))
    errors.invalid(`${field}.fieldPath`, path, 'error converting fieldPath: field label not supported');
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

function validateMounts(
  errors: FieldErrors,
  field: string,
  mounts: ReadContainer['volumeMounts'],
  volumes: ReadonlySet<string>,
): void {
  const paths = new Set<string>();
  (mounts ?? []).forEach((mount, index) => {
    const at = `${field}[${index}]`;
    if (!mount.name) errors.required(`${at}.name`);
    else if (!volumes.has(mount.name)) errors.notFound(`${at}.name`, mount.name);
    if (!mount.mountPath) errors.required(`${at}.mountPath`);
    else if (paths.has(mount.mountPath)) errors.invalid(`${at}.mountPath`, mount.mountPath, 'must be unique');
    paths.add(mount.mountPath ?? '');
    if (mount.subPath && mount.subPathExpr) {
      errors.invalid(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive');
    }
    for (const name of ['subPath', 'subPathExpr'] as const) {
      const path = mount[name];
      if (path) validateLocalPath(errors, `${at}.${name}`, path);
    }
  });
}

/** A path inside a volume: relative and without a way up. */
export function validateLocalPath(errors: FieldErrors, field: string, path: string): void {
  if (path.startsWith('/')) errors.invalid(field, path, 'must be a relative path');
  if (path.split('/').includes('..')) errors.invalid(field, path, "must not contain '..'");
}

function validateHttpGet(errors: FieldErrors, field: string, get: DeepReadonly<HTTPGetAction>): void {
  if (!get.path) errors.required(`${field}.path`);
  validatePortReference(errors, `${field}.port`, get.port);
  errors.oneOf(`${field}.scheme`, get.scheme, ['HTTP', 'HTTPS']);
  (get.httpHeaders ?? []).forEach((header, index) => {
    errors.check(`${field}.httpHeaders[${index}].name`, header.name ?? '', httpHeaderName);
  });
}

function validateHandler(errors: FieldErrors, field: string, handler: DeepReadonly<LifecycleHandler & Probe>): void {
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
  if (postStart !== undefined) validateHandler(errors, `${at}.lifecycle.postStart`, postStart);
  if (preStop !== undefined) validateHandler(errors, `${at}.lifecycle.preStop`, preStop);
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
  volumes: ReadonlySet<string>,
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
  validateMounts(errors, `${at}.volumeMounts`, container.volumeMounts, volumes);
  validateResources(errors, `${at}.resources`, container.resources);
  validateLifecycle(errors, at, container, role);
}

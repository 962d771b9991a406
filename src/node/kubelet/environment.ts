/** The environment of a container: service variables, `envFrom`, `env` with its sources and `$(VAR)` expansion. */
import type { Container, EnvVar, Pod, Service } from '../../api/types/core-v1.js';
import { podField, resourceField, type DownwardFacts } from '../volumes/downward.js';
import type { ObjectSource } from '../volumes/object-source.js';

/** The pod's own mistake or a missing object: shown as `CreateContainerConfigError`. */
export class ContainerConfigError extends Error {
  readonly code = 'ERR_CONTAINER_CONFIG';
}

export type Environment = readonly (readonly [name: string, value: string])[];

export async function environmentOf(
  pod: Pod,
  spec: Container,
  objects: ObjectSource,
  facts: DownwardFacts,
): Promise<Environment> {
  const namespace = pod.metadata.namespace ?? 'default';
  const services = await serviceVariables(pod, objects);
  const result = new Map<string, string>();
  for (const source of spec.envFrom ?? []) {
    const { configMapRef, secretRef, prefix = '' } = source;
    if (configMapRef) {
      const name = configMapRef.name ?? '';
      const map = await objects.configMap(namespace, name);
      if (!map && configMapRef.optional !== true) throw new ContainerConfigError(`configmap "${name}" not found`);
      for (const [key, value] of Object.entries(map?.data ?? {})) result.set(prefix + key, value);
    }
    if (secretRef) {
      const name = secretRef.name ?? '';
      const secret = await objects.secret(namespace, name);
      if (!secret && secretRef.optional !== true) throw new ContainerConfigError(`secret "${name}" not found`);
      for (const [key, value] of Object.entries(secret?.data ?? {})) result.set(prefix + key, decoded(value));
    }
  }
  const lookup = (name: string) => result.get(name) ?? services.get(name);
  for (const variable of spec.env ?? []) {
    const value = variable.valueFrom
      ? await valueFrom(variable, { pod, spec, namespace, objects, facts })
      : expand(variable.value ?? '', lookup);
    if (value !== undefined) result.set(variable.name, value);
  }
  for (const [name, value] of services) if (!result.has(name)) result.set(name, value);
  return [...result];
}

interface Context {
  readonly pod: Pod;
  readonly spec: Container;
  readonly namespace: string;
  readonly objects: ObjectSource;
  readonly facts: DownwardFacts;
}

async function valueFrom({ valueFrom: from }: EnvVar, context: Context): Promise<string | undefined> {
  const { pod, spec, namespace, objects, facts } = context;
  try {
    if (from?.fieldRef) return podField(pod, from.fieldRef.fieldPath, facts) ?? '';
    if (from?.resourceFieldRef) return resourceField(pod, from.resourceFieldRef, spec.name, facts);
  } catch (error) {
    throw new ContainerConfigError(error instanceof Error ? error.message : String(error));
  }
  if (from?.configMapKeyRef) {
    const { name = '', key, optional } = from.configMapKeyRef;
    const map = await objects.configMap(namespace, name);
    const value = map?.data?.[key];
    if (value !== undefined || optional === true) return value;
    throw new ContainerConfigError(
      map ? `couldn't find key ${key} in ConfigMap ${namespace}/${name}` : `configmap "${name}" not found`,
    );
  }
  if (from?.secretKeyRef) {
    const { name = '', key, optional } = from.secretKeyRef;
    const secret = await objects.secret(namespace, name);
    const value = secret?.data?.[key];
    if (value !== undefined) return decoded(value);
    if (optional === true) return undefined;
    throw new ContainerConfigError(
      secret ? `couldn't find key ${key} in Secret ${namespace}/${name}` : `secret "${name}" not found`,
    );
  }
  return '';
}

const decoded = (value: string) => Buffer.from(value, 'base64').toString('utf8');

/** `$(NAME)` becomes the variable's value, `$$` a dollar; what is not known stays as written. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name: string | undefined) =>
    name === undefined ? '$' : (lookup(name) ?? whole),
  );
}

/** `<NAME>_SERVICE_HOST` and its kin, for the API's own service always and for the namespace's unless unwished. */
async function serviceVariables(pod: Pod, objects: ObjectSource): Promise<Map<string, string>> {
  const namespace = pod.metadata.namespace ?? 'default';
  const services = (await objects.services('default')).filter(({ metadata }) => metadata.name === 'kubernetes');
  if (pod.spec?.enableServiceLinks !== false) {
    const own = await objects.services(namespace);
    services.push(...own.filter(({ metadata }) => namespace !== 'default' || metadata.name !== 'kubernetes'));
  }
  const result = new Map<string, string>();
  for (const service of services) for (const [name, value] of linksOf(service)) result.set(name, value);
  return result;
}

const variableName = (name: string) => name.toUpperCase().replace(/-/g, '_');

function* linksOf(service: Service): Generator<readonly [string, string]> {
  const { clusterIP, ports = [] } = service.spec ?? {};
  if (!clusterIP || clusterIP === 'None') return;
  const prefix = variableName(service.metadata.name ?? '');
  const host = clusterIP.includes(':') ? `[${clusterIP}]` : clusterIP;
  const [first] = ports;
  if (!first) return;
  yield [`${prefix}_SERVICE_HOST`, clusterIP];
  yield [`${prefix}_SERVICE_PORT`, String(first.port)];
  for (const { name, port } of ports) if (name) yield [`${prefix}_SERVICE_PORT_${variableName(name)}`, String(port)];
  const url = (port: number, protocol = 'TCP') => `${protocol.toLowerCase()}://${host}:${port}`;
  yield [`${prefix}_PORT`, url(first.port, first.protocol)];
  for (const { port, protocol = 'TCP' } of ports) {
    const link = `${prefix}_PORT_${port}_${protocol}`;
    yield [link, url(port, protocol)];
    yield [`${link}_PROTO`, protocol.toLowerCase()];
    yield [`${link}_PORT`, String(port)];
    yield [`${link}_ADDR`, clusterIP];
  }
}

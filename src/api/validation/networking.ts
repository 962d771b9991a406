/** Rules of `networking.k8s.io`. */
import ipaddr from 'ipaddr.js';
import { dns1035Label, dns1123Subdomain, portName, portNumber, wildcardSubdomain } from '../names.js';
import type { LoadBalancerIngress, TypedLocalObjectReference } from '../types/core-v1.js';
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressClass,
  IngressServiceBackend,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
} from '../types/networking-v1.js';
import { BAD_CIDR, BAD_IP, domainPrefixedPath, parsedCidr, validateLabelSelector } from './selectors.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';
const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix'];
const BAD_SEQUENCES = ['//', '/./', '/../', '%2f', '%2F'];
const BAD_ENDS = ['/..', '/.'];
const MAX_CONTROLLER = 250;

// Ingress

function validateServiceBackend(errors: FieldErrors, at: string, service: Sent<IngressServiceBackend>): void {
  const { name, port = {} } = service;
  errors.requiredName(`${at}.service.name`, name, dns1035Label);
  if (port.name && port.number) errors.invalid(at, '', 'cannot set both port name & port number');
  else if (port.name) errors.check(`${at}.service.port.name`, port.name, portName);
  else if (port.number) {
    for (const detail of portNumber(port.number)) errors.invalid(`${at}.service.port.number`, port.number, detail);
  } else errors.required(at, 'port name or number is required');
}

function validateReference(errors: FieldErrors, at: string, reference: Sent<TypedLocalObjectReference>): void {
  if (reference.apiGroup !== undefined) errors.check(`${at}.apiGroup`, reference.apiGroup, dns1123Subdomain);
  errors.present(`${at}.kind`, reference.kind, 'kind is required');
  errors.present(`${at}.name`, reference.name, 'name is required');
}

function validateBackend(errors: FieldErrors, at: string, backend: Sent<IngressBackend> | undefined): void {
  const { service, resource } = backend ?? {};
  if (service !== undefined && resource !== undefined) {
    errors.invalid(at, '', 'cannot set both resource and service backends');
  } else if (resource !== undefined) validateReference(errors, `${at}.resource`, resource);
  else if (service !== undefined) validateServiceBackend(errors, at, service);
  else errors.invalid(at, '', 'resource or service backend is required');
}

function validatePath(errors: FieldErrors, at: string, entry: Sent<HTTPIngressPath>): void {
  const { path = '', pathType } = entry;
  if (pathType === undefined) errors.required(`${at}.pathType`, 'pathType must be specified');
  else if (pathType === 'Exact' || pathType === 'Prefix') {
    if (!path.startsWith('/')) errors.invalid(`${at}.path`, path, 'must be an absolute path');
    if (path !== '') {
      for (const bad of BAD_SEQUENCES) {
        if (path.includes(bad)) errors.invalid(`${at}.path`, path, `must not contain '${bad}'`);
      }
      for (const bad of BAD_ENDS)
        if (path.endsWith(bad)) errors.invalid(`${at}.path`, path, `cannot end with '${bad}'`);
    }
  } else if (pathType === 'ImplementationSpecific') {
    if (path !== '' && !path.startsWith('/')) errors.invalid(`${at}.path`, path, 'must be an absolute path');
  } else errors.notSupported(`${at}.pathType`, pathType, PATH_TYPES);
  validateBackend(errors, `${at}.backend`, entry.backend);
}

const validateHost = (errors: FieldErrors, field: string, host: string) =>
  errors.check(field, host, host.includes('*') ? wildcardSubdomain : dns1123Subdomain);

export function validateIngress(errors: FieldErrors, { spec }: Sent<Ingress>): void {
  const rules = spec?.rules ?? [];
  if (rules.length === 0 && spec?.defaultBackend === undefined) {
    errors.invalidText('spec', '[]networking.IngressRule(nil)', 'either `defaultBackend` or `rules` must be specified');
  }
  if (spec?.defaultBackend !== undefined) validateBackend(errors, 'spec.defaultBackend', spec.defaultBackend);
  rules.forEach(({ host, http }, index) => {
    const at = `spec.rules[${index}]`;
    if (host) {
      if (ipaddr.isValid(host)) errors.invalid(`${at}.host`, host, 'must be a DNS name, not an IP address');
      else validateHost(errors, `${at}.host`, host);
    }
    if (http === undefined) return;
    if ((http.paths ?? []).length === 0) errors.required(`${at}.http.paths`);
    (http.paths ?? []).forEach((path, at2) => validatePath(errors, `${at}.http.paths[${at2}]`, path));
  });
  (spec?.tls ?? []).forEach(({ hosts = [], secretName }, index) => {
    hosts.forEach((host, at2) => validateHost(errors, `spec.tls[${index}].hosts[${at2}]`, host));
    errors.optionalName(`spec.tls[${index}].secretName`, secretName, dns1123Subdomain);
  });
  if (spec?.ingressClassName !== undefined) {
    errors.check('spec.ingressClassName', spec.ingressClassName, dns1123Subdomain);
  }
}

/** The annotation and the field that replaced it cannot both be given. */
export function validateIngressCreate(errors: FieldErrors, { metadata, spec }: Sent<Ingress>): void {
  const annotation = metadata?.annotations?.[CLASS_ANNOTATION];
  if (annotation !== undefined && spec?.ingressClassName !== undefined) {
    errors.invalid(`annotations.${CLASS_ANNOTATION}`, annotation, 'can not be set when the class field is also set');
  }
}

/** Addresses under `status.loadBalancer.ingress`, of Ingresses and Services. */
export function validateLoadBalancer(
  errors: FieldErrors,
  ingress: readonly Sent<Pick<LoadBalancerIngress, 'ip' | 'hostname'>>[] | undefined,
): void {
  (ingress ?? []).forEach(({ ip, hostname }, index) => {
    const at = `status.loadBalancer.ingress[${index}]`;
    if (ip && !ipaddr.isValid(ip)) errors.invalid(`${at}.ip`, ip, BAD_IP);
    if (!hostname) return;
    errors.check(`${at}.hostname`, hostname, dns1123Subdomain);
    if (ipaddr.isValid(hostname)) errors.invalid(`${at}.hostname`, hostname, 'must be a DNS name, not an IP address');
  });
}

export const validateIngressStatus = (errors: FieldErrors, { status }: Sent<Ingress>) =>
  validateLoadBalancer(errors, status?.loadBalancer?.ingress);

export function validateIngressClass(errors: FieldErrors, { spec }: Sent<IngressClass>): void {
  const controller = spec?.controller ?? '';
  if (controller.length > MAX_CONTROLLER) errors.tooLong('spec.controller', MAX_CONTROLLER);
  domainPrefixedPath(errors, 'spec.controller', controller);
  const parameters = spec?.parameters;
  if (parameters === undefined) return;
  const at = 'spec.parameters';
  validateReference(errors, at, parameters as Sent<TypedLocalObjectReference>);
  const { scope, namespace } = parameters;
  if (scope === undefined) errors.required(`${at}.scope`);
  else if (scope === 'Namespace') {
    if (namespace === undefined) errors.required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'");
  } else if (scope === 'Cluster') {
    if (namespace !== undefined) errors.forbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'");
  } else errors.notSupported(`${at}.scope`, scope, ['Cluster', 'Namespace']);
}

export function validateIngressClassUpdate(
  errors: FieldErrors,
  { spec }: Sent<IngressClass>,
  old: Sent<IngressClass>,
): void {
  if (spec?.controller !== old.spec?.controller) errors.immutable('spec.controller', spec?.controller);
}

// NetworkPolicy

function validatePolicyPort(errors: FieldErrors, at: string, entry: Sent<NetworkPolicyPort>): void {
  const { protocol, port, endPort } = entry;
  errors.oneOf(`${at}.protocol`, protocol, ['SCTP', 'TCP', 'UDP']);
  if (typeof port === 'number') {
    for (const detail of portNumber(port)) errors.invalid(`${at}.port`, port, detail);
    if (endPort === undefined) return;
    if (endPort < port) errors.invalid(`${at}.endPort`, port, 'must be greater than or equal to `port`');
    for (const detail of portNumber(endPort)) errors.invalid(`${at}.endPort`, endPort, detail);
  } else if (typeof port === 'string') {
    if (endPort !== undefined) {
      errors.invalid(`${at}.endPort`, endPort, 'may not be specified when `port` is non-numeric');
    }
    errors.check(`${at}.port`, port, portName);
  } else if (endPort !== undefined) {
    errors.invalid(`${at}.endPort`, endPort, 'must not be set when `port` is not specified');
  }
}

function validateIpBlock(
  errors: FieldErrors,
  at: string,
  block: NonNullable<Sent<NetworkPolicyPeer>['ipBlock']>,
): void {
  const { cidr, except = [] } = block;
  if (!errors.present(`${at}.cidr`, cidr)) return;
  const whole = parsedCidr(cidr);
  if (whole === undefined) {
    errors.invalid(`${at}.cidr`, cidr, BAD_CIDR);
    return;
  }
  except.forEach((text, index) => {
    const part = parsedCidr(text);
    if (part === undefined) errors.invalid(`${at}.except[${index}]`, text, BAD_CIDR);
    else if (part[0].kind() !== whole[0].kind() || !part[0].match(whole) || whole[1] >= part[1]) {
      errors.invalid(`${at}.except[${index}]`, text, 'must be a strict subset of `cidr`');
    }
  });
}

function validatePeer(errors: FieldErrors, at: string, peer: Sent<NetworkPolicyPeer>): void {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (podSelector !== undefined) validateLabelSelector(errors, `${at}.podSelector`, podSelector);
  if (namespaceSelector !== undefined) validateLabelSelector(errors, `${at}.namespaceSelector`, namespaceSelector);
  if (ipBlock !== undefined) validateIpBlock(errors, `${at}.ipBlock`, ipBlock);
  const selects = podSelector !== undefined || namespaceSelector !== undefined;
  if (!selects && ipBlock === undefined) errors.required(at, 'must specify a peer');
  else if (selects && ipBlock !== undefined) errors.forbidden(at, 'may not specify both ipBlock and another peer');
}

export function validateNetworkPolicy(errors: FieldErrors, { spec }: Sent<NetworkPolicy>): void {
  validateLabelSelector(errors, 'spec.podSelector', spec?.podSelector);
  (spec?.ingress ?? []).forEach(({ ports = [], from = [] }, index) => {
    ports.forEach((port, at) => validatePolicyPort(errors, `spec.ingress[${index}].ports[${at}]`, port));
    from.forEach((peer, at) => validatePeer(errors, `spec.ingress[${index}].from[${at}]`, peer));
  });
  (spec?.egress ?? []).forEach(({ ports = [], to = [] }, index) => {
    ports.forEach((port, at) => validatePolicyPort(errors, `spec.egress[${index}].ports[${at}]`, port));
    to.forEach((peer, at) => validatePeer(errors, `spec.egress[${index}].to[${at}]`, peer));
  });
  const types = spec?.policyTypes ?? [];
  if (types.length > 2) {
    errors.invalid('spec.policyTypes', types, 'may not specify more than two policyTypes');
    return;
  }
  types.forEach((type, index) => errors.oneOf(`spec.policyTypes[${index}]`, type, ['Egress', 'Ingress']));
}

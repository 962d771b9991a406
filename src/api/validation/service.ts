/** Rules of Services, Endpoints and EndpointSlices. */
import ipaddr from 'ipaddr.js';
import { dns1123Label, dns1123Subdomain, portNumber } from '../names.js';
import type { DeepReadonly } from '../object.js';
import { semanticEqual } from '../strategy/equality.js';
import type { Endpoints, Service } from '../types/core-v1.js';
import type { EndpointSlice } from '../types/discovery-v1.js';
import { validatePortReference } from './container.js';
import type { FieldErrors } from './field-errors.js';
import { validateLabels } from './metadata.js';
import { validateLoadBalancer } from './networking.js';
import { BAD_IP } from './selectors.js';

const TYPES = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
/** Upstream's limits of an EndpointSlice. */
const MAX_ENDPOINTS = 1000;
const MAX_SLICE_PORTS = 20_000;
const MAX_ADDRESSES = 100;

type Ports = NonNullable<DeepReadonly<Service>['spec']>['ports'];

function validatePorts(errors: FieldErrors, ports: Ports, headless: boolean): void {
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  (ports ?? []).forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    if (!port.name) {
      if ((ports ?? []).length > 1) errors.required(`${at}.name`);
    } else {
      errors.check(`${at}.name`, port.name, dns1123Label);
      if (names.has(port.name)) errors.duplicate(`${at}.name`, port.name);
      names.add(port.name);
    }
    for (const detail of portNumber(port.port ?? 0)) errors.invalid(`${at}.port`, port.port ?? 0, detail);
    if (!port.protocol) errors.required(`${at}.protocol`);
    else errors.oneOf(`${at}.protocol`, port.protocol, PROTOCOLS);
    validatePortReference(errors, `${at}.targetPort`, port.targetPort);
    if (headless && port.nodePort)
      errors.invalid(`${at}.nodePort`, port.nodePort, 'may not be set for headless services');
    const key = `${port.protocol}/${port.port}`;
    if (numbers.has(key)) errors.duplicate(at, { protocol: port.protocol, port: port.port });
    numbers.add(key);
    if (!port.nodePort) return;
    const nodeKey = `${port.protocol}/${port.nodePort}`;
    if (nodePorts.has(nodeKey)) errors.duplicate(`${at}.nodePort`, port.nodePort);
    nodePorts.add(nodeKey);
  });
}

function validateAffinity(errors: FieldErrors, spec: NonNullable<DeepReadonly<Service>['spec']>): void {
  if (!spec.sessionAffinity) errors.required('spec.sessionAffinity');
  else errors.oneOf('spec.sessionAffinity', spec.sessionAffinity, ['ClientIP', 'None']);
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (spec.sessionAffinity === 'ClientIP' && seconds !== undefined && (seconds <= 0 || seconds > 86400)) {
    errors.invalid(
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds',
      seconds,
      'must be greater than 0 and less than 86400',
    );
  }
}

function validateClusterIps(errors: FieldErrors, spec: NonNullable<DeepReadonly<Service>['spec']>): void {
  const { type, clusterIP = '', clusterIPs = [] } = spec;
  if (type === 'ExternalName') {
    if (clusterIP !== '') errors.forbidden('spec.clusterIPs[0]', 'may not be set when `type` is ExternalName');
    return;
  }
  if (clusterIP !== '' && clusterIPs.length > 0 && clusterIPs[0] !== clusterIP) {
    errors.invalid('spec.clusterIPs[0]', clusterIPs, 'first value must match `clusterIP`');
  }
  clusterIPs.forEach((ip, index) => {
    if (ip === 'None') {
      if (clusterIPs.length > 1)
        errors.invalid(`spec.clusterIPs[${index}]`, ip, "'None' must be the first and only value");
      if (type === 'NodePort' || type === 'LoadBalancer') {
        errors.invalid('spec.clusterIPs[0]', ip, `may not be set to 'None' for ${type} services`);
      }
    } else if (!ipaddr.isValid(ip)) errors.invalid(`spec.clusterIPs[${index}]`, ip, BAD_IP);
  });
}

export function validateService(errors: FieldErrors, service: DeepReadonly<Service>): void {
  const spec = service.spec ?? {};
  const headless = spec.clusterIP === 'None';
  if (!spec.type) errors.required('spec.type');
  else errors.oneOf('spec.type', spec.type, TYPES);
  if (spec.type === 'ExternalName') {
    const name = (spec.externalName ?? '').replace(/\.$/, '');
    if (name === '') errors.required('spec.externalName');
    else errors.check('spec.externalName', name, dns1123Subdomain);
  } else if ((spec.ports ?? []).length === 0 && !headless) {
    errors.required('spec.ports');
  }
  validatePorts(errors, spec.ports, headless);
  validateLabels(errors, 'spec.selector', spec.selector);
  validateAffinity(errors, spec);
  validateClusterIps(errors, spec);
  (spec.externalIPs ?? []).forEach((ip, index) => {
    const address = ipaddr.isValid(ip) ? ipaddr.parse(ip).range() : 'none';
    if (address === 'none') errors.invalid(`spec.externalIPs[${index}]`, ip, BAD_IP);
    else if (address === 'loopback') {
      errors.invalid(`spec.externalIPs[${index}]`, ip, 'may not be in the loopback range (127.0.0.0/8, ::1/128)');
    }
  });
  errors.oneOf('spec.externalTrafficPolicy', spec.externalTrafficPolicy, ['Cluster', 'Local']);
  errors.oneOf('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']);
  if ((spec.loadBalancerSourceRanges ?? []).length > 0 && spec.type !== 'LoadBalancer') {
    errors.forbidden('spec.LoadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'");
  }
}

export const validateServiceStatus = (errors: FieldErrors, { status }: DeepReadonly<Service>) =>
  validateLoadBalancer(errors, status?.loadBalancer?.ingress);

export function validateServiceUpdate(
  errors: FieldErrors,
  service: DeepReadonly<Service>,
  old: DeepReadonly<Service>,
): void {
  const { type, clusterIP = '' } = service.spec ?? {};
  const before = old.spec?.clusterIP ?? '';
  if (type !== 'ExternalName' && old.spec?.type !== 'ExternalName' && before !== '' && clusterIP !== before) {
    errors.invalid('spec.clusterIPs[0]', service.spec?.clusterIPs ?? [], 'may not change once set');
  }
  const loadBalancerClass = old.spec?.loadBalancerClass;
  if (
    loadBalancerClass !== undefined &&
    type === 'LoadBalancer' &&
    service.spec?.loadBalancerClass !== loadBalancerClass
  ) {
    errors.invalid('spec.loadBalancerClass', service.spec?.loadBalancerClass ?? '', 'may not change once set');
  }
}

/**
 * Unlike upstream, addresses of 127.64.0.0/10 are taken: pods of the `process` runtime have them, and the userspace proxy
 * serves them on the machine where they mean something.
 */
const isProcessPod = (ip: string) => {
  const [first, second] = ip.split('.').map(Number);
  return first === 127 && second !== undefined && second >= 64 && second < 128;
};

function validateAddress(errors: FieldErrors, field: string, ip: string | undefined): void {
  if (ip !== undefined && ipaddr.IPv4.isValidFourPartDecimal(ip) && isProcessPod(ip)) return;
  const range = ip !== undefined && ipaddr.isValid(ip) ? ipaddr.parse(ip).range() : 'none';
  const forbidden: Readonly<Record<string, string>> = {
    none: BAD_IP,
    unspecified: 'may not be unspecified (0.0.0.0 or ::)',
    loopback: 'may not be in the loopback range (127.0.0.0/8, ::1/128)',
    linkLocal: 'may not be in the link-local range (169.254.0.0/16, fe80::/10)',
    multicast: 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)',
  };
  const why = forbidden[range];
  if (why !== undefined) errors.invalid(field, ip ?? '', why);
}

export function validateEndpoints(errors: FieldErrors, endpoints: DeepReadonly<Endpoints>): void {
  (endpoints.subsets ?? []).forEach(({ addresses = [], notReadyAddresses = [], ports = [] }, index) => {
    const at = `subsets[${index}]`;
    if (addresses.length === 0 && notReadyAddresses.length === 0) {
      errors.required(at, 'must specify `addresses` or `notReadyAddresses`');
    }
    addresses.forEach(({ ip }, at2) => validateAddress(errors, `${at}.addresses[${at2}].ip`, ip));
    notReadyAddresses.forEach(({ ip }, at2) => validateAddress(errors, `${at}.notReadyAddresses[${at2}].ip`, ip));
    ports.forEach((port, at2) => {
      const field = `${at}.ports[${at2}]`;
      if (!port.name && ports.length > 1) errors.required(`${field}.name`);
      else if (port.name) errors.check(`${field}.name`, port.name, dns1123Label);
      for (const detail of portNumber(port.port ?? 0)) errors.invalid(`${field}.port`, port.port ?? 0, detail);
      errors.oneOf(`${field}.protocol`, port.protocol, PROTOCOLS);
    });
  });
}

export function validateEndpointSlice(errors: FieldErrors, slice: DeepReadonly<EndpointSlice>): void {
  const { addressType, ports = [] } = slice;
  // What the schema requires may still be absent in what a client sent.
  const endpoints = slice.endpoints ?? [];
  if (!addressType) errors.required('addressType');
  else errors.oneOf('addressType', addressType, ['FQDN', 'IPv4', 'IPv6']);
  if (endpoints.length > MAX_ENDPOINTS) errors.tooMany('endpoints', endpoints.length, MAX_ENDPOINTS);
  endpoints.forEach((endpoint, index) => {
    const { hostname } = endpoint;
    const addresses = endpoint.addresses ?? [];
    const at = `endpoints[${index}].addresses`;
    if (addresses.length === 0) errors.required(at, 'must contain at least 1 address');
    if (addresses.length > MAX_ADDRESSES) errors.tooMany(at, addresses.length, MAX_ADDRESSES);
    addresses.forEach((address, at2) => {
      if (addressType === 'FQDN') errors.check(`${at}[${at2}]`, address, dns1123Subdomain);
      else if (addressType === 'IPv4' && !ipaddr.IPv4.isValidFourPartDecimal(address)) {
        errors.invalid(`${at}[${at2}]`, address, 'must be a valid IPv4 address');
      } else if (addressType === 'IPv6' && !ipaddr.IPv6.isValid(address)) {
        errors.invalid(`${at}[${at2}]`, address, 'must be a valid IPv6 address');
      } else validateAddress(errors, `${at}[${at2}]`, address);
    });
    if (hostname !== undefined) errors.check(`endpoints[${index}].hostname`, hostname, dns1123Label);
  });
  if (ports.length > MAX_SLICE_PORTS) errors.tooMany('ports', ports.length, MAX_SLICE_PORTS);
  const names = new Set<string>();
  ports.forEach(({ name = '', protocol }, index) => {
    if (name !== '') errors.check(`ports[${index}].name`, name, dns1123Label);
    if (names.has(name)) errors.duplicate(`ports[${index}].name`, name);
    names.add(name);
    errors.oneOf(`ports[${index}].protocol`, protocol, PROTOCOLS);
  });
}

export function validateEndpointSliceUpdate(
  errors: FieldErrors,
  slice: DeepReadonly<EndpointSlice>,
  old: DeepReadonly<EndpointSlice>,
): void {
  if (!semanticEqual(slice.addressType, old.addressType)) errors.immutable('addressType', slice.addressType);
}

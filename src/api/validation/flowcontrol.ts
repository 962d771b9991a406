/** Rules of `flowcontrol.apiserver.k8s.io`. */
import { dns1123Label, dns1123Subdomain } from '../names.js';
import type {
  FlowSchema,
  LimitedPriorityLevelConfiguration,
  NonResourcePolicyRule,
  PriorityLevelConfiguration,
  QueuingConfiguration,
  ResourcePolicyRule,
  Subject,
} from '../types/flowcontrol-v1.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';

const MAX_PRECEDENCE = 10_000;
const MAX_QUEUES = 10 * 1000 * 1000;
const KINDS = { User: 'user', Group: 'group', ServiceAccount: 'serviceAccount' } as const;
const VERBS = ['*', 'create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'proxy', 'update', 'watch'];

function validateSubject(errors: FieldErrors, at: string, subject: Sent<Subject>): void {
  const kind = subject.kind ?? '';
  if (!Object.hasOwn(KINDS, kind)) {
    errors.notSupported(`${at}.kind`, kind, Object.keys(KINDS).toSorted());
    return;
  }
  const own = KINDS[kind as keyof typeof KINDS];
  if (subject[own] === undefined) errors.required(`${at}.${own}`, `${own} is required when subject kind is '${kind}'`);
  for (const other of Object.values(KINDS)) {
    if (other !== own && subject[other] !== undefined) {
      const needed = Object.keys(KINDS).find((key) => KINDS[key as keyof typeof KINDS] === other);
      errors.forbidden(`${at}.${other}`, `${other} is forbidden when subject kind is not '${needed}'`);
    }
  }
  if (subject.user !== undefined) errors.present(`${at}.user.name`, subject.user.name);
  if (subject.group !== undefined) errors.present(`${at}.group.name`, subject.group.name);
  const { serviceAccount } = subject;
  if (serviceAccount === undefined) return;
  if (errors.present(`${at}.serviceAccount.name`, serviceAccount.name) && serviceAccount.name !== '*') {
    errors.check(`${at}.serviceAccount.name`, serviceAccount.name, dns1123Subdomain);
  }
  if (!serviceAccount.namespace) {
    errors.required(`${at}.serviceAccount.namespace`, 'must specify namespace for service account');
  } else errors.check(`${at}.serviceAccount.namespace`, serviceAccount.namespace, dns1123Label);
}

function validateList(errors: FieldErrors, at: string, values: readonly string[], missing: string): void {
  if (values.length === 0) errors.required(at, missing);
  else if (values.length > 1 && values.includes('*')) {
    errors.invalid(at, values, "if '*' is present, must not specify other " + (at.split('.').at(-1) ?? ''));
  }
}

function validateVerbs(errors: FieldErrors, at: string, verbs: readonly string[], supported: readonly string[]): void {
  validateList(errors, at, verbs, 'verbs must contain at least one value');
  if (verbs.length > 0 && !verbs.includes('*') && !verbs.every((verb) => supported.includes(verb))) {
    errors.notSupported(at, verbs, supported);
  }
}

function validateResourceRule(errors: FieldErrors, at: string, rule: Sent<ResourcePolicyRule>): void {
  const { verbs = [], apiGroups = [], resources = [], namespaces = [], clusterScope } = rule;
  validateVerbs(errors, `${at}.verbs`, verbs, VERBS);
  validateList(errors, `${at}.apiGroups`, apiGroups, 'resource rules must supply at least one api group');
  validateList(errors, `${at}.resources`, resources, 'resource rules must supply at least one resource');
  if (namespaces.length === 0 && clusterScope !== true) {
    const text = 'resource rules that are not cluster scoped must supply at least one namespace';
    errors.required(`${at}.namespaces`, text);
  } else if (namespaces.includes('*')) {
    if (namespaces.length > 1) {
      errors.invalid(`${at}.namespaces`, namespaces, "if '*' is present, must not specify other namespaces");
    }
  } else namespaces.forEach((name, index) => errors.check(`${at}.namespaces[${index}]`, name, dns1123Label));
}

function validateUrlRule(errors: FieldErrors, at: string, rule: Sent<NonResourcePolicyRule>): void {
  const { verbs = [], nonResourceURLs = [] } = rule;
  validateList(errors, `${at}.verbs`, verbs, 'verbs must contain at least one value');
  const field = `${at}.nonResourceURLs`;
  validateList(errors, field, nonResourceURLs, 'nonResourceURLs must contain at least one value');
  if (nonResourceURLs.includes('*')) return;
  nonResourceURLs.forEach((url, index) => {
    if (url === '') errors.required(`${field}[${index}]`, 'nonResourceURLs must contain at least one value');
    else if (!url.startsWith('/')) errors.invalid(`${field}[${index}]`, url, "must start with '/'");
    else if (url.slice(0, -1).includes('*')) {
      errors.invalid(`${field}[${index}]`, url, 'wildcard can only do suffix matching');
    }
  });
}

export function validateFlowSchema(errors: FieldErrors, { metadata, spec = {} }: Sent<FlowSchema>): void {
  const name = metadata?.name ?? '';
  const precedence = spec.matchingPrecedence ?? 0;
  const at = 'spec.matchingPrecedence';
  if (precedence <= 0) errors.invalid(at, precedence, 'must be a positive value');
  if (precedence > MAX_PRECEDENCE) errors.invalid(at, precedence, `must not be greater than ${MAX_PRECEDENCE}`);
  if (precedence === 1 && name !== 'exempt') {
    errors.invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
  }
  if (spec.distinguisherMethod !== undefined) {
    const field = 'spec.distinguisherMethod.type';
    errors.requiredOneOf(field, spec.distinguisherMethod.type, ['ByNamespace', 'ByUser']);
  }
  errors.requiredName(
    'spec.priorityLevelConfiguration.name',
    spec.priorityLevelConfiguration?.name,
    dns1123Subdomain,
    'must reference a priority level',
  );
  (spec.rules ?? []).forEach(({ subjects = [], resourceRules = [], nonResourceRules = [] }, index) => {
    const rule = `spec.rules[${index}]`;
    if (subjects.length === 0) errors.required(`${rule}.subjects`, 'subjects must contain at least one value');
    subjects.forEach((subject, at2) => validateSubject(errors, `${rule}.subjects[${at2}]`, subject));
    if (resourceRules.length === 0 && nonResourceRules.length === 0) {
      errors.required(rule, 'at least one of resourceRules and nonResourceRules has to be non-empty');
    }
    resourceRules.forEach((entry, at2) => validateResourceRule(errors, `${rule}.resourceRules[${at2}]`, entry));
    nonResourceRules.forEach((entry, at2) => validateUrlRule(errors, `${rule}.nonResourceRules[${at2}]`, entry));
  });
}

function validateQueuing(errors: FieldErrors, at: string, queuing: Sent<QueuingConfiguration>): void {
  for (const field of ['queueLengthLimit', 'queues', 'handSize'] as const) {
    const value = queuing[field] ?? 0;
    if (value <= 0) errors.invalid(`${at}.${field}`, value, 'must be positive');
  }
  const { queues = 0, handSize = 0 } = queuing;
  if (queues > MAX_QUEUES) {
    errors.invalid(`${at}.queues`, queues, `must not be greater than ${MAX_QUEUES}`);
  }
  if (handSize > queues) {
    errors.invalid(`${at}.handSize`, handSize, `should not be greater than queues (${queues})`);
  }
}

function validateLimited(errors: FieldErrors, limited: Sent<LimitedPriorityLevelConfiguration>): void {
  const at = 'spec.limited';
  const shares = limited.nominalConcurrencyShares ?? 0;
  if (shares < 0) {
    errors.invalid(`${at}.nominalConcurrencyShares`, shares, 'must be a non-negative integer');
  }
  errors.between(`${at}.lendablePercent`, limited.lendablePercent, 0, 100);
  const borrowing = limited.borrowingLimitPercent;
  if (borrowing !== undefined && borrowing < 0) {
    errors.invalid(`${at}.borrowingLimitPercent`, borrowing, 'if specified, must be a non-negative integer');
  }
  const { type = '', queuing } = limited.limitResponse ?? {};
  const field = `${at}.limitResponse`;
  if (type === 'Reject') {
    if (queuing !== undefined) {
      errors.forbidden(`${field}.queuing`, 'must be nil if limited.limitResponse.type is not Limited');
    }
  } else if (type === 'Queue') {
    if (queuing === undefined) {
      errors.required(`${field}.queuing`, 'must not be empty if limited.limitResponse.type is Limited');
    } else validateQueuing(errors, `${field}.queuing`, queuing);
  } else if (type === '') errors.required(`${field}.type`);
  else errors.notSupported(`${field}.type`, type, ['Queue', 'Reject']);
}

export function validatePriorityLevel(
  errors: FieldErrors,
  { metadata, spec = {} }: Sent<PriorityLevelConfiguration>,
): void {
  const { type = '', limited, exempt } = spec;
  const name = metadata?.name ?? '';
  if (name === 'exempt' && type !== 'Exempt') {
    errors.invalid('spec.type', type, "type must be 'Exempt' for the priority level named 'exempt'");
  }
  if (type === 'Exempt') {
    if (limited !== undefined) errors.forbidden('spec.limited', 'must be nil if the type is not Limited');
    errors.nonNegative('spec.exempt.nominalConcurrencyShares', exempt?.nominalConcurrencyShares);
    errors.between('spec.exempt.lendablePercent', exempt?.lendablePercent, 0, 100);
  } else if (type === 'Limited') {
    if (exempt !== undefined) errors.forbidden('spec.exempt', 'must be nil if the type is Limited');
    if (limited === undefined) errors.required('spec.limited', 'must not be empty when type is Limited');
    else validateLimited(errors, limited);
  } else errors.notSupported('spec.type', type, ['Exempt', 'Limited']);
}

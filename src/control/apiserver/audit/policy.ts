/**
 * The audit policy (`audit.k8s.io/v1 Policy`): how much of which request is recorded. The first rule that matches decides; what
 * no rule matches is not recorded. (https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/)
 */
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import type { AuthorizationAttributes } from '../../../security/authz/authorizer.js';

export const AUDIT_LEVELS = ['None', 'Metadata', 'Request', 'RequestResponse'] as const;
export type AuditLevel = (typeof AUDIT_LEVELS)[number];

export const AUDIT_STAGES = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const;
export type AuditStage = (typeof AUDIT_STAGES)[number];

const names = z.array(z.string()).optional();
const stages = z.array(z.enum(AUDIT_STAGES)).optional();

const ruleSchema = z
  .strictObject({
    level: z.enum(AUDIT_LEVELS),
    users: names,
    userGroups: names,
    verbs: names,
    resources: z
      .array(z.strictObject({ group: z.string().default(''), resources: names, resourceNames: names }))
      .optional(),
    namespaces: names,
    nonResourceURLs: names,
    omitStages: stages,
    omitManagedFields: z.boolean().optional(),
  })
  .refine(
    ({ resources, namespaces, nonResourceURLs }) =>
      !nonResourceURLs?.length || !(resources?.length || namespaces?.length),
    {
      message: 'rules cannot apply to both regular resources and non-resource URLs',
    },
  );

const policySchema = z.strictObject({
  apiVersion: z.literal('audit.k8s.io/v1'),
  kind: z.literal('Policy'),
  metadata: z.record(z.string(), z.unknown()).optional(),
  rules: z.array(ruleSchema).min(1),
  omitStages: stages,
  omitManagedFields: z.boolean().default(false),
});

type Rule = z.output<typeof ruleSchema>;
export type AuditPolicy = z.output<typeof policySchema>;

/** What is recorded of one request. */
export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<AuditStage>;
  readonly omitManagedFields: boolean;
}

/** Checks a policy. Throws one line that names what is wrong. */
export function parseAuditPolicy(text: string): AuditPolicy {
  const parsed = policySchema.safeParse(parseYaml(text));
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new Error(`invalid audit policy: ${problems.join('; ')}`);
}

/** Reads and checks the policy's file. Throws one line that names the file and what is wrong. */
export function readAuditPolicy(file: string): AuditPolicy {
  try {
    return parseAuditPolicy(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`cannot use ${file}: ${(error as Error).message.split('\n')[0]}`, { cause: error });
  }
}

const unlessGiven = (list: readonly string[] | undefined, matches: (list: readonly string[]) => boolean) =>
  list === undefined || list.length === 0 || matches(list);

function resourceMatches(pattern: string, { resource, subresource }: AuthorizationAttributes): boolean {
  const combined = subresource === '' ? resource : `${resource}/${subresource}`;
  if (pattern === '*' || pattern === combined) return true;
  if (pattern.startsWith('*/')) return subresource !== '' && subresource === pattern.slice(2);
  return pattern.endsWith('/*') && resource === pattern.slice(0, -2);
}

function aboutResource(rule: Rule, asked: AuthorizationAttributes): boolean {
  if (!unlessGiven(rule.namespaces, (list) => list.includes(asked.namespace))) return false;
  if (!rule.resources?.length) return true;
  return rule.resources.some(
    ({ group, resources, resourceNames }) =>
      group === asked.group &&
      unlessGiven(resources, (list) => list.some((pattern) => resourceMatches(pattern, asked))) &&
      unlessGiven(resourceNames, (list) => list.includes(asked.name)),
  );
}

const aboutPath = (patterns: readonly string[], path: string) =>
  patterns.some((pattern) => (pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path));

function ruleMatches(rule: Rule, asked: AuthorizationAttributes): boolean {
  const { user, verb, path } = asked;
  if (!unlessGiven(rule.users, (list) => list.includes(user.name))) return false;
  if (!unlessGiven(rule.userGroups, (list) => list.some((group) => user.groups.includes(group)))) return false;
  if (!unlessGiven(rule.verbs, (list) => list.includes(verb))) return false;
  const ofResources = (rule.resources?.length ?? 0) > 0 || (rule.namespaces?.length ?? 0) > 0;
  if (path !== undefined) return !ofResources && unlessGiven(rule.nonResourceURLs, (list) => aboutPath(list, path));
  return !rule.nonResourceURLs?.length && aboutResource(rule, asked);
}

/** How much of a request is recorded. */
export function decideAudit(policy: AuditPolicy, asked: AuthorizationAttributes): AuditDecision {
  const rule = policy.rules.find((candidate) => ruleMatches(candidate, asked));
  return {
    level: rule?.level ?? 'None',
    omitStages: new Set([...(policy.omitStages ?? []), ...(rule?.omitStages ?? [])]),
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields,
  };
}

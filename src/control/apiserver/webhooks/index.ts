/** Composition of the webhook stage for one peer. */
import type { Clock } from '../../../base/clock.js';
import type { Logger } from '../../../base/log.js';
import type { Random } from '../../../base/random.js';
import type { AuthorizerCheck } from '../../../api/cel/library/authorizer.js';
import type { RemoteConversion } from '../../../api/conversion/conversion.js';
import type { KubeObject } from '../../../api/object.js';
import type { KindRegistry } from '../../../api/schema/registry.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { AdmissionAttributes, AdmissionChain, AdmissionPlugin } from '../../../security/admission/admission.js';
import { expressionValidation } from '../../../security/admission/policy/expression-validation.js';
import { validatingAdmissionPolicy } from '../../../security/admission/policy/validating-admission-policy.js';
import type { Authorizer, Subject } from '../../../security/authz/authorizer.js';
import type { FollowedResource } from '../../../store/follower.js';
import type { ObjectReader } from '../../../store/object-store.js';
import { WebhookConfigurations } from './configurations.js';
import { createRehearsal } from './rehearsal.js';
import { WebhookClient } from './webhook-client.js';
import { equivalentsIn, inVersion, sentKind, subresourceView } from '../equivalents.js';
import type { AdmissionSubject, Remarks } from './review.js';
import { WebhookStage } from './webhook-stage.js';

export interface WebhookDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly registry: KindRegistry;
  /** This peer's state. */
  readonly store: ObjectReader;
  /** A chain for rehearsals alone: see {@link createRehearsal}. */
  readonly admission: AdmissionChain;
  readonly authorizer: Authorizer;
  /** Objects of custom resources as another version shows them, by their conversion webhook. */
  readonly converted: (remote: RemoteConversion, objects: readonly KubeObject[]) => Promise<readonly KubeObject[]>;
}

export interface Webhooks {
  readonly stage: WebhookStage;
  /** Also for conversion webhooks of custom resources. To be stopped. */
  readonly client: WebhookClient;
  /** To be followed in the store before requests are served. */
  readonly followed: readonly FollowedResource[];
}

export function createWebhooks(deps: WebhookDeps): Webhooks {
  const { store, registry, authorizer } = deps;
  const configurations = new WebhookConfigurations();
  const client = new WebhookClient({ ...deps, objects: store });
  const policies = createPolicies(registry, () => authorizer);
  const stage = new WebhookStage({
    ...deps,
    client,
    configurations,
    rehearse: createRehearsal(deps),
    namespaceOf: (name) => store.get({ group: '', resource: 'namespaces', namespace: '', name }),
    equivalents: equivalentsIn(registry),
    kindAs: ({ kind, subresource }, as) => {
      const sent = sentKind(registry, { ...as, subresource });
      return sent === undefined ? kind : { group: sent.group, version: sent.version, kind: sent.kind };
    },
    inVersion: async (object, of, as) =>
      inVersion(registry, object, of, as, async (remote, own) => (await deps.converted(remote, [own]))[0] ?? own),
    authorize: (user, check) => decide(authorizer, user, check),
    policies: { validate: (subject, remarks) => judgeUnwritten(policies, deps, subject, remarks) },
  });
  return { stage, client, followed: configurations.followed };
}

/** Policies on a request that is never a write. Parameters and namespaces are read from this peer's state. */
function judgeUnwritten(
  policies: AdmissionPlugin,
  { clock, store }: WebhookDeps,
  subject: AdmissionSubject,
  remarks: Remarks,
): void {
  const { object, oldObject: _old, kind, ...request } = subject;
  const attributes: AdmissionAttributes = {
    ...request,
    kind: kind.kind,
    effects: {
      warn: (text) => remarks.warn(text),
      annotate: (key, value) => remarks.annotate(key, value),
      put: () => undefined,
    },
    ...(object === undefined ? {} : { object }),
  };
  if (!policies.handles(attributes)) return;
  policies.validate?.(attributes, {
    nowMs: clock.nowMs(),
    get: (group, resource, namespace, name) => store.get({ group, resource, namespace, name }),
    list: (group, resource, namespace) => store.list(group, resource, namespace),
    // Bodies of such requests have one version.
    inVersion: (shown) => shown,
  });
}

/** The plugins that evaluate expressions: policies, and the check that expressions compile. */
export const createPolicyPlugins = (registry: KindRegistry, authorizer: () => Authorizer): AdmissionPlugin[] => [
  expressionValidation,
  createPolicies(registry, authorizer),
];

const createPolicies = (registry: KindRegistry, authorizer: () => Authorizer): AdmissionPlugin =>
  validatingAdmissionPolicy({
    kinds: {
      equivalents: equivalentsIn(registry),
      sent: (of) => sentKind(registry, of),
      view: (of, object) => subresourceView(registry, of, object),
      resourceOf: (apiVersion, kind) =>
        registry.all().find((info) => info.kind === kind && apiVersionOf(info) === apiVersion),
    },
    authorize: (user, check) => decide(authorizer(), user, check),
  });

/** Asks an authorizer what an expression asks. */
export function decide(
  authorizer: Authorizer,
  user: Subject,
  check: AuthorizerCheck,
): { allowed: boolean; reason: string } {
  const { serviceAccount, path, verb, group, resource, subresource, namespace, name } = check;
  const subject = serviceAccount === undefined ? user : serviceAccountSubject(serviceAccount);
  const { decision, reason } = authorizer.authorize({
    user: subject,
    verb,
    group,
    version: '*',
    resource,
    subresource,
    namespace,
    name,
    ...(path === undefined ? {} : { path }),
  });
  return { allowed: decision === 'allow', reason };
}

const serviceAccountSubject = ({ namespace, name }: { namespace: string; name: string }): Subject => ({
  name: `system:serviceaccount:${namespace}:${name}`,
  groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
});

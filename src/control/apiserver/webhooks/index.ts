/** Composition of the webhook stage for one peer. */
import type { Clock } from '../../../base/clock.js';
import type { Logger } from '../../../base/log.js';
import type { Random } from '../../../base/random.js';
import type { AuthorizerCheck } from '../../../api/cel/library/authorizer.js';
import type { KindRegistry } from '../../../api/schema/registry.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { AdmissionChain, AdmissionPlugin } from '../../../security/admission/admission.js';
import { expressionValidation } from '../../../security/admission/policy/expression-validation.js';
import { validatingAdmissionPolicy } from '../../../security/admission/policy/validating-admission-policy.js';
import type { Authorizer, Subject } from '../../../security/authz/authorizer.js';
import type { FollowedResource } from '../../../store/follower.js';
import type { ObjectReader } from '../../../store/object-store.js';
import { WebhookConfigurations } from './configurations.js';
import { createRehearsal } from './rehearsal.js';
import { WebhookClient } from './webhook-client.js';
import { equivalentsIn, WebhookStage } from './webhook-stage.js';

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
  const stage = new WebhookStage({
    ...deps,
    client,
    configurations,
    rehearse: createRehearsal(deps),
    namespaceOf: (name) => store.get({ group: '', resource: 'namespaces', namespace: '', name }),
    equivalents: equivalentsIn(registry),
    authorize: (user, check) => decide(authorizer, user, check),
  });
  return { stage, client, followed: configurations.followed };
}

/** The plugins that evaluate expressions: policies, and the check that expressions compile. */
export function createPolicyPlugins(registry: KindRegistry, authorizer: () => Authorizer): AdmissionPlugin[] {
  const policies = validatingAdmissionPolicy({
    kinds: {
      equivalents: equivalentsIn(registry),
      resourceOf: (apiVersion, kind) =>
        registry.all().find((info) => info.kind === kind && apiVersionOf(info) === apiVersion),
    },
    authorize: (user, check) => decide(authorizer(), user, check),
  });
  return [expressionValidation, policies];
}

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

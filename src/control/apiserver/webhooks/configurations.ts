/** Webhook configurations of this peer's store, compiled, in the order in which they are called. */
import { WEBHOOK_VARIABLES } from '../../../api/cel/policies.js';
import type { KubeObject } from '../../../api/object.js';
import type {
  MutatingWebhook,
  MutatingWebhookConfiguration,
  RuleWithOperations,
  ValidatingWebhook,
  WebhookClientConfig,
} from '../../../api/types/admissionregistration-v1.js';
import { compileConditions, type CompiledCondition } from '../../../security/admission/policy/match-conditions.js';
import {
  compileSelectors,
  isExempt,
  matchingVersion,
  type MatchedRequest,
  type ResourceVersion,
  type Selectors,
} from '../../../security/admission/policy/matching.js';
import type { FollowedResource } from '../../../store/follower.js';

export interface CompiledWebhook {
  readonly name: string;
  readonly configuration: string;
  readonly rules: readonly RuleWithOperations[];
  readonly exact: boolean;
  readonly selectors: Selectors;
  readonly conditions: readonly CompiledCondition[];
  readonly failsClosed: boolean;
  /** Nothing happens outside the answer when the request is a dry run. */
  readonly allowsDryRun: boolean;
  readonly timeoutMs: number;
  readonly reinvoked: boolean;
  readonly reviewVersion: 'v1' | 'v1beta1' | undefined;
  readonly clientConfig: WebhookClientConfig;
}

function compile(configuration: string, hook: MutatingWebhook | ValidatingWebhook): CompiledWebhook {
  return {
    name: hook.name,
    configuration,
    rules: hook.rules ?? [],
    exact: hook.matchPolicy === 'Exact',
    selectors: compileSelectors(hook),
    conditions: compileConditions(hook.matchConditions, WEBHOOK_VARIABLES),
    failsClosed: hook.failurePolicy !== 'Ignore',
    allowsDryRun: hook.sideEffects === 'None' || hook.sideEffects === 'NoneOnDryRun',
    timeoutMs: (hook.timeoutSeconds ?? 10) * 1000,
    reinvoked: 'reinvocationPolicy' in hook && hook.reinvocationPolicy === 'IfNeeded',
    reviewVersion: hook.admissionReviewVersions.find((version) => version === 'v1' || version === 'v1beta1') as
      'v1' | 'v1beta1' | undefined,
    clientConfig: hook.clientConfig,
  };
}

/** The webhooks of one kind of configuration: configurations by name, each one's webhooks in their order. */
class Configurations implements FollowedResource {
  readonly group = 'admissionregistration.k8s.io';
  private readonly byName = new Map<string, readonly CompiledWebhook[]>();
  webhooks: readonly CompiledWebhook[] = [];

  constructor(readonly resource: string) {}

  reset(objects: readonly KubeObject[]): void {
    this.byName.clear();
    for (const object of objects) this.add(object);
    this.sort();
  }

  changed({ type, object }: { readonly type: string; readonly object: KubeObject }): void {
    if (type === 'DELETED') this.byName.delete(object.metadata.name ?? '');
    else this.add(object);
    this.sort();
  }

  private add(object: KubeObject): void {
    const name = object.metadata.name ?? '';
    const { webhooks = [] } = object as MutatingWebhookConfiguration;
    this.byName.set(
      name,
      webhooks.map((hook) => compile(name, hook)),
    );
  }

  private sort(): void {
    const names = [...this.byName.keys()].toSorted();
    this.webhooks = names.flatMap((name) => this.byName.get(name) ?? []);
  }
}

export class WebhookConfigurations {
  private readonly ofMutating = new Configurations('mutatingwebhookconfigurations');
  private readonly ofValidating = new Configurations('validatingwebhookconfigurations');
  /** To be followed in the store. */
  readonly followed: readonly FollowedResource[] = [this.ofMutating, this.ofValidating];

  get mutating(): readonly CompiledWebhook[] {
    return this.ofMutating.webhooks;
  }

  get validating(): readonly CompiledWebhook[] {
    return this.ofValidating.webhooks;
  }

  get empty(): boolean {
    return this.mutating.length === 0 && this.validating.length === 0;
  }

  /** Whether any rule could speak of the request; the object is not looked at. */
  concern(request: MatchedRequest, equivalents: () => readonly ResourceVersion[]): boolean {
    if (this.empty || isExempt(request)) return false;
    const named = ({ rules, exact }: CompiledWebhook) =>
      matchingVersion(rules, request, exact, equivalents) !== undefined;
    return this.mutating.some(named) || this.validating.some(named);
  }
}

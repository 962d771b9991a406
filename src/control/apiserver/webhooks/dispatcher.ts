/** Asks webhooks about one object: mutating ones in order, validating ones at the same time. */
import type { Logger } from '../../../base/log.js';
import { uuid, type Random } from '../../../base/random.js';
import { sameJson } from '../../../base/same-json.js';
import { CostBudget } from '../../../api/cel/evaluation.js';
import type { AuthorizerCheck, AuthorizerFunction } from '../../../api/cel/library/authorizer.js';
import { policyValues, type PolicyRequest } from '../../../api/cel/policies.js';
import { ApiError, forbidden, internalError } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { applyJsonPatch } from '../../../api/patch/json.js';
import { evaluateConditions } from '../../../security/admission/policy/match-conditions.js';
import {
  isExempt,
  matchingVersion,
  namespaceMatches,
  objectMatches,
  type ResourceVersion,
} from '../../../security/admission/policy/matching.js';
import type { UserInfo } from '../../../security/authn/user.js';
import type { CompiledWebhook } from './configurations.js';
import {
  callFailure,
  denial,
  dryRunRefusal,
  InvalidAnswer,
  type Remarks,
  requestOf,
  reviewOf,
  verdictOf,
  type AdmissionSubject,
  type NamedSubject,
  type Verdict,
} from './review.js';
import { WebhookCallError, type WebhookClient } from './webhook-client.js';

export interface DispatcherDeps {
  readonly client: Pick<WebhookClient, 'post'>;
  readonly random: Random;
  readonly log: Logger;
  readonly namespaceOf: (name: string) => KubeObject | undefined;
  readonly equivalents: (of: ResourceVersion) => readonly ResourceVersion[];
  /** The kind that requests about an equivalent of the subject's resource send. */
  readonly kindAs: (subject: AdmissionSubject, as: ResourceVersion) => AdmissionSubject['kind'];
  /** An object of one resource as an equivalent shows it; not changed. Rejects with an {@link ApiError}. */
  readonly inVersion: (object: KubeObject, of: ResourceVersion, as: ResourceVersion) => Promise<KubeObject>;
  readonly authorize: (
    user: UserInfo,
    check: AuthorizerCheck,
  ) => { readonly allowed: boolean; readonly reason: string };
}

/** What a patched object goes through: decoding by its schema, and defaults. */
export type Settle = (patched: unknown) => KubeObject;

interface Asked {
  readonly hook: CompiledWebhook;
  /** The number of changes that it knows of. */
  seen: number;
}

/** One request's way through the mutating webhooks. */
export class Mutation {
  private readonly asked: Asked[] = [];
  private changes = 0;

  constructor(
    private readonly dispatcher: Dispatcher,
    private readonly hooks: readonly CompiledWebhook[],
    readonly remarks: Remarks,
  ) {}

  get changed(): boolean {
    return this.changes > 0;
  }

  /** Calls each webhook that the request is for. Gives the object after the last one. Rejects with an {@link ApiError}. */
  async run(subject: AdmissionSubject, settle: Settle): Promise<AdmissionSubject> {
    let current = subject;
    for (const hook of this.hooks) current = await this.ask(hook, current, settle);
    return current;
  }

  /** Built-in mutation has changed the object again. */
  noteChange(): void {
    this.changes++;
  }

  /** Calls those again that want to see what was changed after them, once. */
  async reinvoke(subject: AdmissionSubject, settle: Settle): Promise<AdmissionSubject> {
    let current = subject;
    for (const { hook, seen } of this.asked.splice(0)) {
      if (hook.reinvoked && seen < this.changes) current = await this.ask(hook, current, settle);
    }
    return current;
  }

  private async ask(hook: CompiledWebhook, subject: AdmissionSubject, settle: Settle): Promise<AdmissionSubject> {
    const named = await this.dispatcher.match(hook, subject);
    if (named === undefined) return subject;
    const asked: Asked = { hook, seen: this.changes };
    this.asked.push(asked);
    const verdict = await this.dispatcher.ask(hook, subject, named, true);
    if (verdict === undefined) return subject;
    this.remarks.add(hook, verdict);
    if (!verdict.allowed) throw denial(hook.name, verdict.status);
    const { object } = subject;
    if (verdict.patch === undefined || object === undefined) return subject;
    const patched = await this.patched(hook, subject, named, verdict.patch, settle);
    if (sameJson(patched, object)) return subject;
    this.changes++;
    asked.seen = this.changes;
    return { ...subject, object: patched };
  }

  /** The patch is of the object that the webhook has seen. */
  private async patched(
    hook: CompiledWebhook,
    subject: AdmissionSubject,
    { object, as }: NamedSubject,
    patch: unknown,
    settle: Settle,
  ): Promise<KubeObject> {
    try {
      const made = applyJsonPatch(object, patch) as KubeObject;
      return settle(await this.dispatcher.inVersion(made, as, subject));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      throw internalError(
        new Error(`failed to apply the patch of webhook "${hook.name}": ${error.message}`, { cause: error }),
      );
    }
  }
}

export class Dispatcher {
  constructor(private readonly deps: DispatcherDeps) {}

  /** Calls all that the request is for at the same time. Rejects with the first refusal in their order. */
  async validate(
    hooks: readonly CompiledWebhook[],
    subject: AdmissionSubject,
    remarks: Remarks,
  ): Promise<{ readonly asked: boolean }> {
    const called: { readonly hook: CompiledWebhook; readonly named: NamedSubject }[] = [];
    for (const hook of hooks) {
      const named = await this.match(hook, subject);
      if (named !== undefined) called.push({ hook, named });
    }
    const results = await Promise.allSettled(called.map(({ hook, named }) => this.ask(hook, subject, named, false)));
    for (const [i, result] of results.entries()) {
      if (result.status === 'rejected') throw result.reason;
      const verdict = result.value;
      const hook = called[i]?.hook;
      if (verdict === undefined || hook === undefined) continue;
      remarks.add(hook, verdict);
      if (!verdict.allowed) throw denial(hook.name, verdict.status);
    }
    return { asked: called.length > 0 };
  }

  inVersion(object: KubeObject, of: ResourceVersion, as: ResourceVersion): Promise<KubeObject> {
    return this.deps.inVersion(object, of, as);
  }

  /** The request as the webhook's rules name it; undefined when it is not for it. Rejects when conditions cannot be decided. */
  async match(hook: CompiledWebhook, subject: AdmissionSubject): Promise<NamedSubject | undefined> {
    if (isExempt(subject)) return undefined;
    const as = matchingVersion(hook.rules, subject, hook.exact, () => this.deps.equivalents(subject));
    if (as === undefined) return undefined;
    const { object, oldObject } = subject;
    if (!namespaceMatches(hook.selectors.namespaces, subject, object ?? oldObject, this.deps.namespaceOf))
      return undefined;
    if (!objectMatches(hook.selectors.objects, object, oldObject)) return undefined;
    const named = await this.named(subject, as);
    return this.conditionsHold(hook, subject, named) ? named : undefined;
  }

  private async named(subject: AdmissionSubject, as: ResourceVersion): Promise<NamedSubject> {
    const { kind, object, oldObject, group, version, resource } = subject;
    if (as.group === group && as.version === version && as.resource === resource)
      return { as, kind, object, oldObject };
    return {
      as,
      kind: this.deps.kindAs(subject, as),
      object: object && (await this.deps.inVersion(object, subject, as)),
      oldObject: oldObject && (await this.deps.inVersion(oldObject, subject, as)),
    };
  }

  private conditionsHold(hook: CompiledWebhook, subject: AdmissionSubject, named: NamedSubject): boolean {
    if (hook.conditions.length === 0) return true;
    const budget = new CostBudget();
    const { object: _object, oldObject: _old, ...request } = requestOf(subject, named, '');
    const { object, oldObject } = named;
    const authorizer: AuthorizerFunction = (check) => this.deps.authorize(subject.user, check);
    const shown = request as unknown as PolicyRequest;
    const values = policyValues({ object, oldObject, request: shown, authorizer }, budget);
    const result = evaluateConditions(hook.conditions, values, budget);
    if (result.error === undefined) return result.matches;
    this.deps.log.warn('match conditions of a webhook failed', { webhook: hook.name, error: result.error });
    if (!hook.failsClosed) return false;
    throw forbidden(subject, subject.name, result.error);
  }

  /** The webhook's answer; undefined when it failed and that does not count. */
  async ask(
    hook: CompiledWebhook,
    subject: AdmissionSubject,
    named: NamedSubject,
    mutating: boolean,
  ): Promise<Verdict | undefined> {
    if (subject.dryRun && !hook.allowsDryRun) throw dryRunRefusal(hook);
    const uid = uuid(this.deps.random);
    const { reviewVersion: version, clientConfig: config, timeoutMs } = hook;
    let why: string;
    try {
      if (version === undefined)
        throw new InvalidAnswer('webhook does not accept known AdmissionReview versions (v1, v1beta1)');
      const body = reviewOf(version, requestOf(subject, named, uid));
      return verdictOf(await this.deps.client.post({ config, body, timeoutMs }), version, uid, mutating);
    } catch (error) {
      if (error instanceof WebhookCallError) why = `failed to call webhook: ${error.message}`;
      else if (error instanceof InvalidAnswer) why = `received invalid webhook response: ${error.message}`;
      else throw error;
    }
    this.deps.log.warn('a webhook failed', { webhook: hook.name, configuration: hook.configuration, error: why });
    if (hook.failsClosed) throw callFailure(hook.name, why);
    return undefined;
  }
}

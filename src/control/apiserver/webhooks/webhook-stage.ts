/**
 * The stage in front of `ObjectStore.write` where admission webhooks are asked. Writes run synchronously on the sequencer, so
 * the peer that got the request asks before it submits: it rehearses the write on its own state, lets webhooks change and
 * judge the outcome, and submits that outcome under the condition that what it was based on is unchanged. When it has
 * changed, it begins anew. See docs/adr for what this guarantees.
 */
import type { Clock } from '../../../base/clock.js';
import { sameJson } from '../../../base/same-json.js';
import { applyDefaults } from '../../../api/defaults/defaults.js';
import { ApiError, notFoundPath } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import { decodeObject } from '../../../api/schema/decode.js';
import type { KindInfo, KindRegistry, ResourceInfo } from '../../../api/schema/registry.js';
import { toScale } from '../../../api/strategy/scale.js';
import type { AdmissionAttributes } from '../../../security/admission/admission.js';
import { matchingVersion, type MatchedRequest } from '../../../security/admission/policy/matching.js';
import { withWrite, type ObjectStore, type WriteReply } from '../../../store/object-store.js';
import { isStale } from '../writes/staged-admission.js';
import type { Admitted, WriteRequest } from '../writes/write-request.js';
import type { CompiledWebhook, WebhookConfigurations } from './configurations.js';
import { isLifeline } from './lifelines.js';
import { Dispatcher, Mutation, type DispatcherDeps, type Settle } from './dispatcher.js';
import {
  OPERATIONS,
  optionsOf,
  baseOf,
  isTaken,
  bodyOf,
  withObject,
  unstored,
  complete,
  withoutAllocations,
} from './request-forms.js';
import type { Rehearse } from './rehearsal.js';
import { bodySubject, Remarks, type AdmissionSubject } from './review.js';

/** What a request that writes nothing came to. */
export interface AdmittedSubject {
  readonly object: KubeObject | undefined;
  readonly warnings: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}

export interface WebhookStageDeps extends DispatcherDeps {
  /** Admission policies, for requests that the sequencer never sees. Throws to refuse. */
  readonly policies: { validate(subject: AdmissionSubject, remarks: Remarks): void };
  readonly configurations: WebhookConfigurations;
  readonly registry: KindRegistry;
  readonly rehearse: Rehearse;
  readonly clock: Clock;
}

export interface WebhookStageOptions {
  /** How often one write is tried while its object keeps changing. */
  readonly attempts: number;
}

export const DEFAULT_WEBHOOK_STAGE: WebhookStageOptions = Object.freeze({ attempts: 5 });

/** What an attempt came to: the sequencer's reply, which may be that the webhooks saw an old state. */
interface Attempt {
  readonly reply: WriteReply;
  /** The name was generated here and is taken there. */
  readonly nameTaken?: boolean;
}

export class WebhookStage {
  private readonly dispatcher: Dispatcher;

  constructor(
    private readonly deps: WebhookStageDeps,
    private readonly options: WebhookStageOptions = DEFAULT_WEBHOOK_STAGE,
  ) {
    this.dispatcher = new Dispatcher(deps);
  }

  /** The store with this stage in front of its writes. A write that no webhook could be for goes straight through. */
  wrap(store: ObjectStore): ObjectStore {
    return withWrite(store, (id, request) => {
      if (this.deps.configurations.empty || !this.concerns(request as WriteRequest)) return store.write(id, request);
      return this.write(store, id, request as WriteRequest);
    });
  }

  /**
   * For requests that write nothing: connections (exec, attach, port-forward, proxy) and what is answered at once. Asks webhooks and
   * policies by this peer's state. Rejects with an {@link ApiError}.
   */
  async admit(subject: AdmissionSubject, settle: Settle): Promise<AdmittedSubject> {
    const { configurations, policies } = this.deps;
    const remarks = new Remarks();
    const concerned = configurations.concern(subject, () => this.deps.equivalents(subject));
    const mutated = concerned
      ? await new Mutation(this.dispatcher, configurations.mutating, remarks).run(subject, settle)
      : subject;
    policies.validate(mutated, remarks);
    if (concerned) await this.dispatcher.validate(configurations.validating, mutated, remarks);
    return { object: mutated.object, warnings: remarks.warnings, annotations: remarks.annotations };
  }

  private concerns(written: WriteRequest): boolean {
    if (isLifeline(written)) return false;
    const { verb, group, version, resource, subresource, namespace, name } = written;
    const info = this.deps.registry.find(group, version, resource);
    // A collection over all namespaces is about objects that have one.
    const place = namespace === '' && info?.namespaced === true ? '*' : namespace;
    return OPERATIONS[verb].some((operation) => {
      const request: MatchedRequest = { operation, group, version, resource, subresource, namespace: place, name };
      return this.deps.configurations.concern(request, () => this.deps.equivalents(request));
    });
  }

  private async write(store: ObjectStore, id: string, request: WriteRequest): Promise<WriteReply> {
    const remarks = new Remarks();
    for (let attempt = 0; ; attempt++) {
      remarks.clear();
      let outcome: Attempt;
      try {
        // Replies are remembered by id: a new attempt is another write.
        outcome = await this.attempt(store, attempt === 0 ? id : `${id}~${attempt}`, request, remarks);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        return remarks.addedTo({ code: error.code, body: error.toStatus(), warnings: [] });
      }
      const { reply, nameTaken = false } = outcome;
      if ((!isStale(reply) && !nameTaken) || attempt + 1 >= this.options.attempts) {
        return remarks.addedTo(reply);
      }
      await store.barrier();
    }
  }

  private async attempt(store: ObjectStore, id: string, request: WriteRequest, remarks: Remarks): Promise<Attempt> {
    const { verb, subresource, group, resource } = request;
    if (verb === 'create' && (subresource !== '' || (group === '' && resource === 'bindings'))) {
      return this.attemptBody(store, id, request, remarks);
    }
    const { subjects, reply } = this.deps.rehearse(request, 'admitted');
    // Only the sequencer refuses. Should it not, the webhooks have not been asked, and the write comes back as stale.
    const refused = async () => ({
      reply: await store.write(id, { ...request, admitted: { bases: {}, judged: false } }),
    });
    if (reply !== undefined && reply.code >= 400) return refused();
    const bases = Object.fromEntries(subjects.map(baseOf));
    if (verb === 'delete' || verb === 'deletecollection') {
      for (const attributes of subjects) await this.askAboutDeletion(this.subjectOf(request, attributes), remarks);
      return { reply: await store.write(id, { ...request, admitted: { bases, judged: true } }) };
    }
    const [attributes] = subjects;
    if (attributes?.object === undefined) return refused();
    return this.attemptObject(store, id, request, attributes, bases, remarks, refused);
  }

  private async askAboutDeletion(subject: AdmissionSubject, remarks: Remarks): Promise<void> {
    const { configurations } = this.deps;
    await new Mutation(this.dispatcher, configurations.mutating, remarks).run(
      subject,
      (patched) => patched as KubeObject,
    );
    await this.dispatcher.validate(configurations.validating, subject, remarks);
  }

  private async attemptObject(
    store: ObjectStore,
    id: string,
    request: WriteRequest,
    attributes: AdmissionAttributes,
    bases: Admitted['bases'],
    remarks: Remarks,
    refused: () => Promise<Attempt>,
  ): Promise<Attempt> {
    const isNew = attributes.operation === 'CREATE';
    const generated = isNew ? this.generatedName(request, attributes) : undefined;
    const named = generated === undefined ? request : this.withName(request, generated);
    const { object, changed } = await this.mutated(request, named, attributes, bases, generated !== undefined, remarks);
    const submit = (admitted: Omit<Admitted, 'bases'>) =>
      store.write(id, { ...named, admitted: { bases, ...admitted } });
    const judges = this.judgesOf(attributes);
    if (object === undefined) return refused();
    if (judges.length === 0 && !changed) {
      return { reply: await store.write(id, { ...request, admitted: { bases, judged: true } }) };
    }
    if (judges.length > 0) {
      const admitted = { bases, object: structuredClone(object), judged: false };
      const checked = this.deps.rehearse({ ...named, admitted }, 'validated');
      const [last] = checked.subjects;
      // What it came to is refused: the sequencer says why.
      const refused = checked.reply === undefined || (checked.reply.code >= 400 && !isTaken(checked.reply));
      if (refused || last?.object === undefined) {
        return { reply: await submit({ object, judged: false }) };
      }
      await this.dispatcher.validate(judges, this.subjectOf(request, last), remarks);
    }
    const reply = await submit({ object, judged: true });
    return { reply, nameTaken: generated !== undefined && isTaken(reply) };
  }

  /** The validating webhooks whose rules speak of the request. */
  private judgesOf(attributes: AdmissionAttributes): readonly CompiledWebhook[] {
    const { operation, group, version, resource, subresource, namespace, name } = attributes;
    const matched = { operation, group, version, resource, subresource, namespace, name };
    const others = () => this.deps.equivalents(matched);
    return this.deps.configurations.validating.filter(
      ({ rules, exact }) => matchingVersion(rules, matched, exact, others) !== undefined,
    );
  }

  /** The object after the mutating webhooks; undefined when the built-in admission refuses what they made. */
  private async mutated(
    request: WriteRequest,
    named: WriteRequest,
    attributes: AdmissionAttributes,
    bases: Admitted['bases'],
    unnamed: boolean,
    remarks: Remarks,
  ): Promise<{ object: KubeObject | undefined; changed: boolean }> {
    const info = this.infoOf(request);
    const isNew = attributes.operation === 'CREATE';
    const shown = (of: AdmissionAttributes) => this.subjectOf(request, unnamed ? { ...of, name: '' } : of, isNew);
    const mutation = new Mutation(this.dispatcher, this.deps.configurations.mutating, remarks);
    const settle = (patched: unknown) => this.settled(request, patched);
    const first = isNew ? withoutAllocations(request, attributes) : attributes;
    const mutated = await mutation.run(shown(first), settle);
    if (!mutation.changed) return { object: first.object, changed: false };
    const made = complete(info, request, first, mutated.object);
    const admitted = { bases, object: structuredClone(made), judged: false };
    const [again] = this.deps.rehearse({ ...named, admitted }, 'admitted').subjects;
    if (again?.object === undefined) return { object: undefined, changed: true };
    const second = isNew ? withoutAllocations(request, again) : again;
    if (!sameJson(second.object, made)) mutation.noteChange();
    const reinvoked = await mutation.reinvoke(shown(second), settle);
    return { object: complete(info, request, second, reinvoked.object), changed: true };
  }

  /** Bindings, evictions and the like: the body itself is what webhooks are asked about. */
  private async attemptBody(store: ObjectStore, id: string, request: WriteRequest, remarks: Remarks): Promise<Attempt> {
    const info = this.infoOf(request);
    const kind = this.kindOf(request, info);
    const { configurations } = this.deps;
    const body = bodyOf(request);
    const { object } = decodeObject(kind, body, 'Ignore');
    const { user, dryRun } = request;
    const options = optionsOf(request);
    const subject = bodySubject(request, { operation: 'CREATE', user, dryRun, kind, options, object });
    const mutation = new Mutation(this.dispatcher, configurations.mutating, remarks);
    const mutated = await mutation.run(subject, (patched) => decodeObject(kind, patched, 'Ignore').object);
    await this.dispatcher.validate(configurations.validating, mutated, remarks);
    return { reply: await store.write(id, mutation.changed ? withObject(request, mutated.object) : request) };
  }

  private infoOf({ group, version, resource }: WriteRequest): ResourceInfo {
    const info = this.deps.registry.find(group, version, resource);
    if (info === undefined) throw notFoundPath();
    return info;
  }

  /** The kind of what is sent: that of the subresource. */
  private kindOf({ subresource }: WriteRequest, info: ResourceInfo): KindInfo {
    const known = subresource === '' ? undefined : info.subresources.get(subresource);
    return (known && this.deps.registry.kindInfo(known.group, known.version, known.kind)) ?? info;
  }

  private settled(request: WriteRequest, patched: unknown): KubeObject {
    const info = this.infoOf(request);
    if (request.subresource === 'scale') return decodeObject(this.kindOf(request, info), patched, 'Ignore').object;
    const { object } = decodeObject(info, patched, 'Ignore');
    applyDefaults(info, object);
    return object;
  }

  /** @param isNew What storing gives to an object is not there yet, as upstream's mutating webhooks see it. */
  private subjectOf(request: WriteRequest, attributes: AdmissionAttributes, isNew = false): AdmissionSubject {
    const { operation, group, version, resource, subresource, namespace, name, object, oldObject, dryRun } = attributes;
    const info = this.infoOf(request);
    const kind = this.kindOf(request, info);
    const view = (shown: KubeObject | undefined) =>
      shown !== undefined && subresource === 'scale' ? toScale(info, shown) : shown;
    return {
      operation,
      group,
      version,
      resource,
      subresource,
      namespace,
      name,
      dryRun,
      kind: { group: kind.group, version: kind.version, kind: kind.kind },
      user: request.user,
      options: optionsOf(request),
      object: isNew && object !== undefined ? unstored(object, name === '') : view(object),
      oldObject: view(oldObject),
    };
  }

  /** The name that the rehearsal has chosen, when the request leaves it open. */
  private generatedName(request: WriteRequest, { name }: AdmissionAttributes): string | undefined {
    if (request.verb !== 'create') return undefined;
    const { metadata } = bodyOf(request) as { metadata?: { name?: unknown } };
    return metadata?.name ? undefined : name;
  }

  private withName(request: WriteRequest, name: string): WriteRequest {
    const body = bodyOf(request) as { metadata?: object };
    return withObject(request, { ...body, metadata: { ...body.metadata, name } });
  }
}

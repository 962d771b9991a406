/**
 * Conversion webhooks. Reads convert on the way out, in batches; a stored object is converted once for each version. The executor
 * is synchronous, so a write that needs a conversion is refused with what is missing (`missingConversion`); the peer that took the
 * request asks the webhook and submits it again with the answers, under another id, until nothing is missing. What an answer
 * belongs to is told by the object's content, so that a write that lost a race misses its answer and asks again.
 */
import { createHash } from 'node:crypto';
import { uuid, type Random } from '../../../base/random.js';
import type { RemoteConversion } from '../../../api/conversion/conversion.js';
import { ApiError, internalError, type Status } from '../../../api/errors.js';
import type { KubeObject } from '../../../api/object.js';
import type { WebhookClientConfig } from '../../../api/types/admissionregistration-v1.js';
import type { WebhookConversion } from '../../../api/types/apiextensions-v1.js';
import type { WriteReply } from '../../../store/object-store.js';
import type { ConvertedObject, WriteRequest } from '../writes/write-request.js';

/** Sends a review to a webhook and returns its answer's JSON. */
export interface WebhookPoster {
  post(call: {
    readonly config: WebhookClientConfig;
    readonly body: unknown;
    readonly timeoutMs: number;
  }): Promise<unknown>;
}

export interface WebhookConversionLimits {
  /** Objects of one review. */
  readonly batch: number;
  /** How long a webhook may take, in milliseconds (upstream: 30 s). */
  readonly timeoutMs: number;
  /** Times that a write is submitted again with more answers. */
  readonly attempts: number;
}

export const DEFAULT_CONVERSION_LIMITS: WebhookConversionLimits = Object.freeze({
  batch: 500,
  timeoutMs: 30_000,
  attempts: 10,
});

const MISSING = 'ConversionMissing';
const CONFLICT = 409;

interface Missing {
  readonly to: string;
  readonly object: KubeObject;
  readonly webhook: WebhookConversion;
}

/** The refusal of a write that needs an answer of a conversion webhook. */
export const missingConversion = (missing: Missing) =>
  new ApiError(409, 'Conflict', 'the object must be converted first', {
    causes: [{ reason: MISSING, message: JSON.stringify(missing) }],
  });

function missingIn(status: Partial<Status> | undefined): Missing | undefined {
  const cause = status?.details?.causes?.find(({ reason }) => reason === MISSING);
  return cause?.message === undefined ? undefined : (JSON.parse(cause.message) as Missing);
}

/** What a conversion depends on: all but the metadata that no webhook changes. */
export function conversionKey(object: KubeObject, to: string): string {
  const { metadata, ...rest } = object;
  const text = JSON.stringify([to, rest, metadata.labels ?? null, metadata.annotations ?? null]);
  return createHash('sha256').update(text).digest('base64');
}

export class WebhookConversions {
  /** What is being converted, by version. */
  private readonly pending = new WeakMap<RemoteConversion, Map<KubeObject, Promise<void>>>();
  /** Entries go with the stored objects, and with a definition that is replaced. */
  private readonly known = new WeakMap<RemoteConversion, WeakMap<KubeObject, KubeObject>>();

  constructor(
    private readonly deps: { readonly webhooks: WebhookPoster; readonly random: Random },
    private readonly limits: WebhookConversionLimits = DEFAULT_CONVERSION_LIMITS,
  ) {}

  /**
   * Stored objects as requests see them. Whoever asks for an object that is being converted waits for the same answer. Rejects with
   * a 500 when the webhook fails.
   */
  async shown(remote: RemoteConversion, stored: readonly KubeObject[]): Promise<readonly KubeObject[]> {
    const missing = stored.filter((object) => this.known.get(remote)?.has(object) !== true);
    if (missing.length > 0) await this.learn(remote, missing);
    const views = this.known.get(remote);
    return stored.map((object) => views?.get(object) ?? object);
  }

  private async learn(remote: RemoteConversion, missing: readonly KubeObject[]): Promise<void> {
    let pending = this.pending.get(remote);
    if (!pending) this.pending.set(remote, (pending = new Map()));
    const waits = new Set<Promise<void>>();
    const mine: KubeObject[] = [];
    for (const object of missing) {
      const under = pending.get(object);
      if (under) waits.add(under);
      else mine.push(object);
    }
    for (let from = 0; from < mine.length; from += this.limits.batch) {
      const batch = mine.slice(from, from + this.limits.batch);
      const work = this.load(remote, batch).finally(() => {
        for (const object of batch) pending.delete(object);
      });
      for (const object of batch) pending.set(object, work);
      waits.add(work);
    }
    await Promise.all(waits);
  }

  private async load(remote: RemoteConversion, batch: readonly KubeObject[]): Promise<void> {
    const foreign = batch.filter(({ apiVersion }) => apiVersion !== remote.shown);
    const converted = await this.convert(remote.webhook, foreign, remote.shown);
    foreign.forEach((object, index) => {
      const answer = converted[index];
      if (answer) this.remember(remote, object, remote.settle(object, answer));
    });
    for (const object of batch) {
      if (object.apiVersion === remote.shown) this.remember(remote, object, remote.settle(object, object));
    }
  }

  /** Submits a write, and again with the conversions that it turns out to need. */
  async write(request: WriteRequest, submit: (request: WriteRequest) => Promise<WriteReply>): Promise<WriteReply> {
    let outcome = await settled(submit(request));
    const conversions: ConvertedObject[] = [...(request.conversions ?? [])];
    for (let attempt = 1; outcome.missing !== undefined; attempt++) {
      if (attempt > this.limits.attempts) {
        throw internalError(
          new Error(`${request.resource} "${request.name}" changed too often while it was converted`),
        );
      }
      const { webhook, object, to } = outcome.missing;
      const [converted] = await this.convert(webhook, [object], to);
      conversions.push({ key: conversionKey(object, to), object: converted });
      // The refusal is remembered under the id that it was given for.
      const next = { ...request, id: `${request.id}/${attempt}`, conversions: [...conversions] };
      outcome = await settled(submit(next));
    }
    return outcome.answer();
  }

  private remember(remote: RemoteConversion, stored: KubeObject, shown: KubeObject): void {
    let views = this.known.get(remote);
    if (!views) this.known.set(remote, (views = new WeakMap()));
    views.set(stored, Object.freeze(shown));
  }

  private async convert(webhook: WebhookConversion, objects: readonly KubeObject[], to: string): Promise<KubeObject[]> {
    if (objects.length === 0) return [];
    const uid = uuid(this.deps.random);
    const version = webhook.conversionReviewVersions.find((name) => name === 'v1' || name === 'v1beta1') ?? 'v1';
    const [first] = objects;
    const fail = (why: string) =>
      internalError(
        new Error(`conversion webhook for ${first?.apiVersion ?? ''}, Kind=${first?.kind ?? ''} failed: ${why}`),
      );
    const body = {
      kind: 'ConversionReview',
      apiVersion: `apiextensions.k8s.io/${version}`,
      request: { uid, desiredAPIVersion: to, objects },
    };
    const config = (webhook.clientConfig ?? {}) as WebhookClientConfig;
    let answer: unknown;
    try {
      answer = await this.deps.webhooks.post({ config, body, timeoutMs: this.limits.timeoutMs });
    } catch (error) {
      throw fail(error instanceof Error ? error.message : String(error));
    }
    return convertedIn(answer, objects, uid, to, fail);
  }
}

interface Answer {
  readonly response?: {
    readonly uid?: string;
    readonly result?: { readonly status?: string; readonly message?: string };
    readonly convertedObjects?: readonly KubeObject[] | null;
  };
}

function convertedIn(
  answer: unknown,
  objects: readonly KubeObject[],
  uid: string,
  to: string,
  fail: (why: string) => ApiError,
): KubeObject[] {
  const { response } = (answer ?? {}) as Answer;
  if (response === undefined) throw fail('no response provided');
  if (response.uid !== uid)
    throw fail(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid)}`);
  if (response.result?.status !== 'Success') throw fail(response.result?.message || 'unknown error');
  const converted = response.convertedObjects ?? [];
  if (converted.length !== objects.length) {
    throw fail(`returned ${converted.length} objects, expected ${objects.length}`);
  }
  return objects.map((original, index) => {
    const object = converted[index];
    if (object?.apiVersion !== to) {
      throw fail(
        `returned invalid converted object at index ${index}: invalid groupVersion (received ${object?.apiVersion ?? ''}, want ${to})`,
      );
    }
    if (object.kind !== original.kind) {
      throw fail(
        `returned invalid converted object at index ${index}: invalid kind (received ${object.kind ?? ''}, want ${original.kind ?? ''})`,
      );
    }
    const metadata = object.metadata as KubeObject['metadata'] | undefined;
    for (const field of ['name', 'namespace', 'uid'] as const) {
      if ((metadata?.[field] ?? '') !== (original.metadata[field] ?? '')) {
        throw fail(`returned invalid metadata in object at index ${index}: must have unchanged ${field}`);
      }
    }
    return object;
  });
}

interface Outcome {
  readonly missing: Missing | undefined;
  answer(): WriteReply;
}

/** A reply or a refusal, whichever way it comes. */
async function settled(reply: Promise<WriteReply>): Promise<Outcome> {
  try {
    const done = await reply;
    const missing = done.code === CONFLICT ? missingIn(done.body as Partial<Status>) : undefined;
    return { missing, answer: () => done };
  } catch (error) {
    const missing = error instanceof ApiError && error.code === CONFLICT ? missingIn(error.toStatus()) : undefined;
    if (missing === undefined) throw error;
    return {
      missing,
      answer: () => {
        throw error;
      },
    };
  }
}

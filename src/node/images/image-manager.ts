/**
 * Sees to it that a container's image is on this node, with the kubelet's rules: pull policies, the reasons and texts
 * that `kubectl` shows, and a back-off per pod and image that starts at 10 s and ends at 5 min.
 *
 * One transfer at a time per image; others that want it wait for the same one. With policy IfNotPresent a peer that has
 * the image is asked before its registry is. `ensure` does not wait for a back-off: it reports it, and the caller, which
 * reconciles, comes again.
 */
import type { Readable } from 'node:stream';
import { backoffMs } from '../../base/backoff.js';
import type { Clock } from '../../base/clock.js';
import { errorText, type Logger } from '../../base/log.js';
import type { Image, Runtime } from '../runtime/runtime.js';
import type { PeerImages } from './peer-images.js';
import { normalizeReference, parseReference, withDefaultTag } from './reference.js';

export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** The `reason` of the waiting container. */
export type ImageFailure =
  'ErrImagePull' | 'ImagePullBackOff' | 'ErrImageNeverPull' | 'InvalidImageName' | 'ImageInspectError';

export type EnsuredImage =
  | { readonly ok: true; readonly image: Image }
  | {
      readonly ok: false;
      readonly reason: ImageFailure;
      readonly message: string;
      /** Milliseconds until another try can do anything; 0 when a retry may help at once. */
      readonly retryAfterMs: number;
    };

export interface ImageRequest {
  /** As written in the pod. */
  readonly reference: string;
  readonly policy: PullPolicy;
  /** Who wants it (the pod's uid): back-offs are per owner. */
  readonly owner: string;
  readonly auth?: { readonly username: string; readonly password: string };
  /** Records an Event on the pod. */
  readonly event: (type: 'Normal' | 'Warning', reason: string, message: string) => void;
}

export interface ImageManagerDependencies {
  readonly runtime: Pick<Runtime, 'imageStatus' | 'pullImage' | 'loadImage'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Absent: only registries. */
  readonly peers?: PeerImages;
}

export interface ImageManagerOptions {
  /** Transfers at the same time; 3 unless told. */
  readonly maxParallelPulls?: number;
  /** Back-off after failures, in milliseconds; 10 s doubling to 5 min unless told. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number };
}

interface Failure {
  count: number;
  lastError: string;
  retryAtMs: number;
}

/** Remembered failures at most; beyond it the one that failed longest ago is dropped. */
const MAX_FAILURES = 1000;

export class ImageManager {
  private readonly failures = new Map<string, Failure>();
  private readonly transfers = new Map<string, Promise<Image>>();
  private readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  private slots: number;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly deps: ImageManagerDependencies,
    options: ImageManagerOptions = {},
  ) {
    this.backoff = options.backoff ?? { baseMs: 10_000, maxMs: 300_000 };
    this.slots = options.maxParallelPulls ?? 3;
  }

  /** Never rejects: every outcome is a value, so that it can become the container's status. */
  async ensure(request: ImageRequest): Promise<EnsuredImage> {
    const { reference: written, policy } = request;
    const parsed = parseReference(written);
    if (!parsed.ok) return this.invalidName(request, parsed.reason);
    const reference = withDefaultTag(written);
    let present: Image | undefined;
    try {
      present = await this.deps.runtime.imageStatus(reference);
    } catch (error) {
      // Engines of different ages draw the line of what is a name differently.
      if (/invalid reference format/.test(errorText(error))) return this.invalidName(request, errorText(error));
      const message = `Failed to inspect image "${written}": ${errorText(error)}`;
      request.event('Warning', 'InspectFailed', message);
      return { ok: false, reason: 'ImageInspectError', message, retryAfterMs: 0 };
    }
    if (present && policy !== 'Always') {
      request.event('Normal', 'Pulled', `Container image "${written}" already present on machine`);
      return { ok: true, image: present };
    }
    if (policy === 'Never') {
      const message = `Container image "${written}" is not present with pull policy of Never`;
      request.event('Warning', 'ErrImageNeverPull', message);
      return { ok: false, reason: 'ErrImageNeverPull', message, retryAfterMs: this.backoff.baseMs };
    }
    return this.backedOff(request) ?? (await this.transfer(request, reference));
  }

  /** Reads a `docker save` archive into this node's runtime; peers get the images from here when they need them. */
  importArchive(archive: Readable): Promise<readonly string[]> {
    return this.deps.runtime.loadImage(archive);
  }

  /** Drops the back-offs of a pod that is gone. */
  forget(owner: string): void {
    for (const key of this.failures.keys()) if (key.startsWith(`${owner}_`)) this.failures.delete(key);
  }

  private invalidName({ reference, event }: ImageRequest, why: string): EnsuredImage {
    const message = `Failed to apply default image tag "${reference}": couldn't parse image name "${reference}": ${why}`;
    event('Warning', 'InspectFailed', message);
    return { ok: false, reason: 'InvalidImageName', message, retryAfterMs: this.backoff.baseMs };
  }

  private backedOff(request: ImageRequest): EnsuredImage | undefined {
    const failure = this.failures.get(keyOf(request));
    const waitMs = failure ? failure.retryAtMs - this.deps.clock.monotonicMs() : 0;
    if (!failure || waitMs <= 0) return undefined;
    const text = `Back-off pulling image "${request.reference}"`;
    request.event('Normal', 'BackOff', text);
    const message = `${text}: ErrImagePull: ${failure.lastError}`;
    return { ok: false, reason: 'ImagePullBackOff', message, retryAfterMs: waitMs };
  }

  private async transfer(request: ImageRequest, reference: string): Promise<EnsuredImage> {
    const { clock } = this.deps;
    const startMs = clock.monotonicMs();
    request.event('Normal', 'Pulling', `Pulling image "${request.reference}"`);
    try {
      const image = await this.shared(request, reference);
      this.failures.delete(keyOf(request));
      const tookMs = Math.round(clock.monotonicMs() - startMs);
      const size = `Image size: ${image.sizeBytes} bytes.`;
      const text = `Successfully pulled image "${request.reference}" in ${durationText(tookMs)} (${durationText(tookMs)} including waiting). ${size}`;
      request.event('Normal', 'Pulled', text);
      return { ok: true, image };
    } catch (error) {
      const lastError = errorText(error);
      request.event('Warning', 'Failed', `Failed to pull image "${request.reference}": ${lastError}`);
      const retryAfterMs = this.noteFailure(keyOf(request), lastError);
      return { ok: false, reason: 'ErrImagePull', message: lastError, retryAfterMs };
    }
  }

  /** One transfer per image and credentials: a private image of one pod must not come by the secret of another. */
  private shared(request: ImageRequest, reference: string): Promise<Image> {
    const key = JSON.stringify([normalizeReference(reference), request.policy, request.auth]);
    const running = this.transfers.get(key);
    if (running) return running;
    const transfer = this.fetch(request, reference).finally(() => this.transfers.delete(key));
    this.transfers.set(key, transfer);
    return transfer;
  }

  private async fetch(request: ImageRequest, reference: string): Promise<Image> {
    if (this.slots > 0) this.slots--;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      const image = request.policy === 'IfNotPresent' ? await this.fromPeer(reference) : undefined;
      return image ?? (await this.deps.runtime.pullImage(reference, request.auth));
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.slots++;
    }
  }

  /** The image from a peer; undefined when none has it or the transfer failed: then the registry is asked. */
  private async fromPeer(reference: string): Promise<Image | undefined> {
    const { peers, runtime, log } = this.deps;
    if (!peers) return undefined;
    try {
      const source = await peers.find(normalizeReference(reference));
      if (!source) return undefined;
      await runtime.loadImage(await peers.open(source));
      return await runtime.imageStatus(reference);
    } catch (error) {
      log.warn('an image did not come from a peer', { reference, error: errorText(error) });
      return undefined;
    }
  }

  private noteFailure(key: string, lastError: string): number {
    const count = (this.failures.get(key)?.count ?? 0) + 1;
    const delayMs = backoffMs(count, this.backoff);
    // Re-inserted at the end: the map's first entry is the one not seen for the longest time.
    this.failures.delete(key);
    this.failures.set(key, { count, lastError, retryAtMs: this.deps.clock.monotonicMs() + delayMs });
    const oldest = this.failures.keys().next().value;
    if (this.failures.size > MAX_FAILURES && oldest !== undefined) this.failures.delete(oldest);
    return delayMs;
  }
}

function keyOf(request: ImageRequest): string {
  return `${request.owner}_${request.reference}`;
}

/** As Go prints a duration rounded to milliseconds. */
function durationText(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = Number(((ms % 60_000) / 1000).toFixed(3));
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

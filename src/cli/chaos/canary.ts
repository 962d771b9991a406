/**
 * A small object that is written steadily through every peer at once while things go wrong: one field of a ConfigMap a peer, with
 * ever higher numbers, so that what was acknowledged and is not there in the end is noticed.
 */
import type { Clock } from '../../base/clock.js';
import { isUnreachable } from '../../client/http-connection.js';
import { ApiError, isNotFound } from '../../api/errors.js';
import type { ResourceRef } from '../../api/resource.js';
import type { KubeObject } from '../../api/object.js';
import { Register, registerValue, type Outcome } from './registers.js';
import type { Target } from './targets.js';

const CONFIG_MAPS: ResourceRef = {
  group: '',
  version: 'v1',
  resource: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};
/** Writes of one session begin so far apart, in milliseconds. */
const PERIOD_MS = 200;

interface CanaryObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** The writes through one peer. */
export interface SessionReport {
  readonly peer: string;
  /** Monotonic, ascending. */
  readonly acknowledgedAtMs: readonly number[];
  readonly failedAtMs: readonly number[];
}

export class Canary {
  private readonly sessions: (SessionReport & { readonly acknowledgedAtMs: number[]; readonly failedAtMs: number[] })[];
  private readonly registers: ReadonlyMap<string, Register>;
  private running: Promise<void>[] = [];

  constructor(
    private readonly deps: { readonly clock: Clock },
    private readonly targets: readonly Target[],
    private readonly at: { readonly namespace: string; readonly name: string },
  ) {
    this.sessions = targets.map(({ name }) => ({ peer: name, acknowledgedAtMs: [], failedAtMs: [] }));
    this.registers = new Map(targets.map(({ name }) => [name, new Register()]));
  }

  get reports(): readonly SessionReport[] {
    return this.sessions;
  }

  /** Creates the object and begins to write, until the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    const { namespace, name } = this.at;
    const object: CanaryObject = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace, name } };
    await this.first().client.create(CONFIG_MAPS, object);
    this.running = this.targets.map((target, i) => this.session(target, i, signal));
  }

  /** Resolves when no write is under way any more. */
  async ended(): Promise<void> {
    await Promise.all(this.running);
  }

  /** What was acknowledged and is not there, at any peer that answers. */
  async lost(): Promise<readonly string[]> {
    const expected = [...this.registers].map(([field, register]) => [field, register.expectation()] as const);
    const found = await Promise.all(
      this.targets.map(async (target) => {
        const data = await this.read(target);
        if (data === undefined) return [];
        return expected.flatMap(([field, { violation }]) => {
          const text = violation(data[field]);
          return text === undefined ? [] : [`at ${target.name}, field ${field}: ${text}`];
        });
      }),
    );
    return found.flat();
  }

  async remove(): Promise<void> {
    const { namespace, name } = this.at;
    for (const { client } of this.targets) {
      try {
        await client.delete(CONFIG_MAPS, namespace, name);
        return;
      } catch (error) {
        if (isNotFound(error)) return;
      }
    }
  }

  private first(): Target {
    const [target] = this.targets;
    if (!target) throw new Error('there are no peers');
    return target;
  }

  /** The fields as a peer shows them; undefined when it does not answer. */
  private async read({ client }: Target): Promise<Readonly<Record<string, string>> | undefined> {
    const { namespace, name } = this.at;
    try {
      return (await client.get<CanaryObject>(CONFIG_MAPS, namespace, name)).data ?? {};
    } catch (error) {
      return isNotFound(error) ? {} : undefined;
    }
  }

  private async session(target: Target, index: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.deps;
    const session = this.sessions[index];
    for (let number = 1; session && !signal.aborted; number++) {
      const beganMs = clock.monotonicMs();
      const outcome = await this.write(target, number);
      this.registers.get(target.name)?.note(target.name, number, outcome);
      const nowMs = clock.monotonicMs();
      (outcome === 'acknowledged' ? session.acknowledgedAtMs : session.failedAtMs).push(nowMs);
      const pauseMs = PERIOD_MS - (nowMs - beganMs);
      if (pauseMs > 0) await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  private async write({ name: peer, client }: Target, number: number): Promise<Outcome> {
    const { namespace, name } = this.at;
    try {
      await client.patch(CONFIG_MAPS, namespace, name, 'merge', { data: { [peer]: registerValue(peer, number) } });
      return 'acknowledged';
    } catch (error) {
      return outcomeOf(error);
    }
  }
}

/** A connection that was never made, or a refusal by the API, says that nothing was done; so does a peer that answers with 503. */
function outcomeOf(error: unknown): Outcome {
  if (isUnreachable(error)) return error.socketCode === 'ECONNREFUSED' ? 'refused' : 'unknown';
  return error instanceof ApiError && (error.code < 500 || error.code === 503) ? 'refused' : 'unknown';
}

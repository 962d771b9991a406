/** Everything that clients were told, and the judgement of a state by it. Pure. */
import { Register, type Outcome, type RegisterExpectation } from '../../src/cli/chaos/registers.js';

/** Objects whose fields all clients write: each its own, and all of them {@link CONTENDED}. */
export const SHARED = ['shared-0', 'shared-1'] as const;
export const CONTENDED = 'contended';
export const LEASE = 'appends';
/** The annotation of the Lease that holds what was appended, separated by spaces. */
export const APPENDS = 'skein.dev/chaos-appends';
/** Violations kept in words; further ones are counted. */
const MAX_TEXTS = 20;

/** What one moment's state shows. */
export interface ShownState {
  readonly configMaps: readonly {
    readonly metadata: { readonly name: string };
    readonly data?: Record<string, string>;
  }[];
  /** The appends, in their order. */
  readonly appends: readonly string[];
}

export interface Judgement {
  /** Acknowledged values, objects and appends that are not there. */
  readonly lost: readonly string[];
  /** Deleted objects and refused creations that are there. */
  readonly resurrected: readonly string[];
  /** Violations of the Lease: lost, doubled or refused appends. */
  readonly majority: readonly string[];
}

/** A creation's fate; a deletion that is under way or of unknown outcome makes both right. */
type Made = 'there' | 'perhaps' | 'refused' | 'deleted';

export class Ledger {
  /** A client read less at its peer than that had acknowledged or shown: whatever is the matter, it may not. */
  readonly staleReads: string[] = [];
  staleCount = 0;
  reads = 0;
  private readonly fields = new Map<string, Register>();
  private readonly made = new Map<string, Made>();
  private readonly appends = new Map<string, Outcome>();

  private register(name: string, field: string): Register {
    const key = `${name}/${field}`;
    let register = this.fields.get(key);
    if (!register) this.fields.set(key, (register = new Register()));
    return register;
  }

  fieldWritten(name: string, field: string, session: string, number: number, outcome: Outcome): void {
    this.register(name, field).note(session, number, outcome);
  }

  expectedField(name: string, field: string): RegisterExpectation {
    return this.register(name, field).expectation();
  }

  /** A client read at its peer; `violation` if what it saw was older than what it had been told there. */
  readDone(violation: string | undefined): void {
    this.reads++;
    if (violation !== undefined) this.shownLess(violation);
  }

  /** A client was answered with less than before. */
  shownLess(violation: string): void {
    this.staleCount++;
    if (this.staleReads.length < MAX_TEXTS) this.staleReads.push(violation);
  }

  created(name: string, outcome: Outcome): void {
    this.made.set(name, outcome === 'acknowledged' ? 'there' : outcome === 'refused' ? 'refused' : 'perhaps');
  }

  deleting(name: string): void {
    this.made.set(name, 'perhaps');
  }

  deleted(name: string): void {
    this.made.set(name, 'deleted');
  }

  appended(token: string, outcome: Outcome): void {
    this.appends.set(token, outcome);
  }

  /** To be called **before** the state is read that the returned function then judges: what is told meanwhile does not count. */
  expectation(): (shown: ShownState) => Judgement {
    const fields = [...this.fields].map(([key, register]) => [key, register.expectation()] as const);
    const made = new Map(this.made);
    const appends = new Map(this.appends);
    return ({ configMaps, appends: shownAppends }) => {
      const objects = new Map(configMaps.map((object) => [object.metadata.name, object]));
      const lost: string[] = [];
      const resurrected: string[] = [];
      for (const [key, { violation }] of fields) {
        const [name = '', field = ''] = key.split('/');
        const text = violation(objects.get(name)?.data?.[field]);
        if (text !== undefined) lost.push(`configmap ${key}: ${text}`);
      }
      for (const [name, fate] of made) {
        // What was to be deleted since the expectation was made may be gone or there.
        const current = this.made.get(name);
        if (fate === 'there' && current === 'there' && !objects.has(name)) lost.push(`configmap ${name}: was created`);
        if (fate === 'deleted' && objects.has(name)) resurrected.push(`configmap ${name}: was deleted`);
        if (fate === 'refused' && objects.has(name)) resurrected.push(`configmap ${name}: its creation was refused`);
      }
      return { lost, resurrected, majority: judgeAppends(appends, shownAppends) };
    };
  }
}

function judgeAppends(told: ReadonlyMap<string, Outcome>, shown: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const token of shown) counts.set(token, (counts.get(token) ?? 0) + 1);
  const violations: string[] = [];
  for (const [token, outcome] of told) {
    const count = counts.get(token) ?? 0;
    if (outcome === 'acknowledged' && count === 0)
      violations.push(`lease append ${token}: was acknowledged and is lost`);
    if (outcome === 'refused' && count > 0) violations.push(`lease append ${token}: was refused and is there`);
    if (count > 1) violations.push(`lease append ${token}: is there ${count} times`);
  }
  return violations;
}

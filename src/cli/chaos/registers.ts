/**
 * What must be there after all that happened: the model against which a cluster's final state is judged. Every register is written
 * by sessions (a client that stays with one peer and has one write under way at a time), each with numbers of its own that only
 * grow. Pure.
 *
 * A value is lost when the register shows an older one **of the same session**, or nothing. Between sessions nothing is asked: on
 * two sides of a split the later stamp wins, and clocks differ. A write whose outcome the client does not know (its connection broke)
 * may take effect at any later time, once.
 */

/** What a client knows of its write: done, certainly not done, or neither. */
export type Outcome = 'acknowledged' | 'refused' | 'unknown';

/** Unknown outcomes remembered for a session; the oldest go first. */
const MAX_UNKNOWN = 10_000;

export class SessionRecord {
  /** Number of the last acknowledged write; 0 before the first. */
  acknowledged = 0;
  private readonly unknown = new Set<number>();

  note(number: number, outcome: Outcome): void {
    if (outcome === 'acknowledged') this.acknowledged = Math.max(this.acknowledged, number);
    else if (outcome === 'unknown') {
      this.unknown.add(number);
      if (this.unknown.size > MAX_UNKNOWN) this.unknown.delete(Math.min(...this.unknown));
    }
  }

  /** Whether a register may show this number of the session when `acknowledged` was its last acknowledged one. */
  mayShow(number: number, acknowledged = this.acknowledged): boolean {
    return number >= acknowledged || this.unknown.has(number);
  }
}

/** One register that several sessions write: values are `session:number`. */
export class Register {
  private readonly sessions = new Map<string, SessionRecord>();

  note(session: string, number: number, outcome: Outcome): void {
    let record = this.sessions.get(session);
    if (!record) this.sessions.set(session, (record = new SessionRecord()));
    record.note(number, outcome);
  }

  /** What was acknowledged so far, to judge a value by that is read from now on. */
  expectation(): RegisterExpectation {
    const acknowledged = new Map(
      [...this.sessions].map(([session, record]) => [session, record.acknowledged] as const),
    );
    return {
      violation: (shown) => {
        if (shown === undefined) {
          const lost = [...acknowledged].filter(([, number]) => number > 0);
          return lost.length === 0 ? undefined : `nothing is there; acknowledged were ${lost.map(textOf).join(', ')}`;
        }
        const { session, number } = parseValue(shown);
        const record = this.sessions.get(session);
        if (!record) return `"${shown}" was never written`;
        const last = acknowledged.get(session) ?? 0;
        return record.mayShow(number, last)
          ? undefined
          : `shows ${shown} after ${textOf([session, last])} was acknowledged`;
      },
    };
  }
}

export interface RegisterExpectation {
  /** What is wrong with a value (undefined: absent) read after the expectation was made; undefined when nothing is. */
  readonly violation: (shown: string | undefined) => string | undefined;
}

export const registerValue = (session: string, number: number): string => `${session}:${number}`;
const textOf = ([session, number]: readonly [string, number]) => registerValue(session, number);

function parseValue(text: string): { session: string; number: number } {
  const at = text.lastIndexOf(':');
  return { session: text.slice(0, at), number: Number(text.slice(at + 1)) };
}

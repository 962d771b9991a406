/**
 * What a client that stays with one peer may rely on, split or whole: it reads its own writes, and nothing that it was shown is gone
 * again ("read your writes" and "monotonic reads" of Terry et al., Session Guarantees for Weakly Consistent Replicated Data,
 * 1994); nor do its writes happen on less than that ("writes follow reads"). All clients of a peer count as one, so it holds for
 * what they tell each other, too. Pure.
 */
import type { Operation } from './clients.js';

/** What a peer has shown or acknowledged so far. */
interface Shown {
  revision: number;
  /** Keys of what grows, by the object's name, each with what told of it. Nothing takes them away, not even a merge. */
  readonly grown: Map<string, Map<string, string>>;
}

/** Operations in progress at the same time are in no order: only what had ended before another began counts for it. */
export function checkSessions(operations: readonly Operation[]): string[] {
  const done = operations.filter(({ code, ended }) => code > 0 && code < 300 && ended < Infinity);
  const peers = new Set(done.map(({ peer }) => peer));
  return [...peers].flatMap((peer) => checkSession(done.filter((one) => one.peer === peer)));
}

function checkSession(operations: readonly Operation[]): string[] {
  const problems: string[] = [];
  const shown: Shown = { revision: 0, grown: new Map() };
  const ended = operations.toSorted((a, b) => a.ended - b.ended);
  let next = 0;
  for (const one of operations.toSorted((a, b) => a.began - b.began)) {
    for (; (ended[next]?.ended ?? Infinity) < one.began; next++) note(shown, ended[next] as Operation);
    problems.push(...judge(one, shown));
  }
  return problems;
}

function note(shown: Shown, { n, kind, grown, revision }: Operation): void {
  shown.revision = Math.max(shown.revision, revision);
  for (const [name, keys] of grown) {
    const told = shown.grown.get(name) ?? new Map<string, string>();
    shown.grown.set(name, told);
    for (const key of keys) if (!told.has(key)) told.set(key, `${kind === 'grow' ? 'acknowledged' : 'shown'} by ${n}`);
  }
}

function judge({ n, kind, peer, startMs, grown, revision }: Operation, shown: Shown): string[] {
  const problems: string[] = [];
  const where = `session of ${peer}: ${kind} ${n} (${startMs.toFixed(1)} ms)`;
  // What was created or deleted tells of one object only, perhaps under an older version.
  if (grown.size > 0 && revision < shown.revision)
    problems.push(`${where} is at revision ${revision} after ${shown.revision}`);
  for (const [name, keys] of grown) {
    const present = new Set(keys);
    for (const [key, told] of shown.grown.get(name) ?? [])
      if (!present.has(key)) problems.push(`${where} misses ${key} of ${name}, ${told}`);
  }
  return problems;
}

/**
 * What a client that stays with one peer may rely on, split or whole: it reads its own writes, and nothing that it was shown is gone
 * again ("read your writes" and "monotonic reads" of Terry et al., Session Guarantees for Weakly Consistent Replicated Data,
 * 1994). All clients of a peer count as one, so it holds for what they tell each other, too. Pure.
 */
import type { Operation } from './clients.js';

const isDone = ({ code }: Operation): boolean => code > 0 && code < 300;

/** What a peer has shown or acknowledged so far. */
interface Shown {
  revision: number;
  /** Marks of `grow`, each with what told of it. Nothing takes them away, not even a merge. */
  readonly marks: Map<string, string>;
}

/** Operations in progress at the same time are in no order: only what had ended before a read began counts for it. */
export function checkSessions(operations: readonly Operation[]): string[] {
  const peers = new Set(operations.map(({ peer }) => peer));
  return [...peers].flatMap((peer) => checkSession(operations.filter((one) => one.peer === peer && isDone(one))));
}

function checkSession(operations: readonly Operation[]): string[] {
  const problems: string[] = [];
  const shown: Shown = { revision: 0, marks: new Map() };
  const ended = operations.toSorted((a, b) => a.ended - b.ended);
  let next = 0;
  for (const one of operations) {
    for (; (ended[next]?.ended ?? Infinity) < one.began; next++) note(shown, ended[next] as Operation);
    if (one.kind === 'read') problems.push(...judge(one, shown));
  }
  return problems;
}

const markOf = (name: string, key: string): string => `${name} ${key}`;

function note(shown: Shown, { n, kind, name, grown, revision }: Operation): void {
  shown.revision = Math.max(shown.revision, revision);
  if (kind === 'grow') shown.marks.set(markOf(name, `k${n}`), `acknowledged by ${n}`);
  for (const key of kind === 'read' ? grown.keys : []) {
    const mark = markOf(grown.name, key);
    if (!shown.marks.has(mark)) shown.marks.set(mark, `shown to ${n}`);
  }
}

function judge({ n, peer, startMs, grown, revision }: Operation, shown: Shown): string[] {
  const where = `session of ${peer}: read ${n} (${startMs.toFixed(1)} ms)`;
  const keys = new Set(grown.keys.map((key) => markOf(grown.name, key)));
  const gone = [...shown.marks].filter(([mark]) => mark.startsWith(`${grown.name} `) && !keys.has(mark));
  return [
    ...(revision < shown.revision ? [`${where} is at revision ${revision} after ${shown.revision}`] : []),
    ...gone.map(([mark, told]) => `${where} misses ${mark}, ${told}`),
  ];
}

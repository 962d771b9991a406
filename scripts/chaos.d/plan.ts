/** What befalls the cluster, and when: a pure function of seed and options, so that a run can be told and told again. */
import { seededRandom, type Random } from '../../src/base/random.js';

export const FAULT_KINDS = ['kill', 'cut', 'split', 'freeze', 'disk', 'clock'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export const FAULT_TEXTS: Readonly<Record<FaultKind, string>> = {
  kill: 'kill -9 of agents',
  cut: 'a network cable unplugged',
  split: 'hosts split into groups',
  freeze: 'agents stopped (SIGSTOP) and continued',
  disk: "the agent's file system filled up and freed",
  clock: "one agent's clock changed and set right",
};

export interface Fault {
  readonly kind: FaultKind;
  /** Who is hit. Of a split: who is not in the first group. */
  readonly hosts: readonly number[];
  /** The current holder of the api role takes the place of the first of {@link hosts}. */
  readonly hitsSequencer: boolean;
  /** Of a split: who reaches whom. */
  readonly groups: readonly (readonly number[])[];
  /** By how much the clock is off. */
  readonly clockOffsetMs: number;
  readonly lastsMs: number;
  /** Quiet time after the cluster is whole again, before the next fault. */
  readonly restMs: number;
}

export interface PlanOptions {
  readonly seed: number;
  readonly hosts: number;
  /** What may happen; all of it unless told. */
  readonly kinds?: readonly FaultKind[];
  /** How long each lasts; 3 to 12 s unless told. */
  readonly lastsMs?: { readonly least: number; readonly most: number };
}

const CLOCK_OFFSETS_MS = [-600_000, -30_000, -2_000, 2_000, 30_000, 600_000];

/** Endless. Every kind comes once before any comes again, in an order of its own each time. */
export function* planFaults({ seed, hosts, kinds = FAULT_KINDS, lastsMs }: PlanOptions): Generator<Fault, never> {
  const random = seededRandom(seed);
  const { least, most } = lastsMs ?? { least: 3_000, most: 12_000 };
  const all = Array.from({ length: hosts }, (_, i) => i + 1);
  for (;;) {
    for (const kind of shuffled(kinds, random)) {
      const order = shuffled(all, random);
      const groups = kind === 'split' ? groupsOf(order, random) : [];
      yield {
        kind,
        hosts: kind === 'split' ? groups.slice(1).flat() : order.slice(0, hitCount(kind, hosts, random)),
        hitsSequencer: kind !== 'split' && random.int(2) === 0,
        groups,
        clockOffsetMs: kind === 'clock' ? (CLOCK_OFFSETS_MS[random.int(CLOCK_OFFSETS_MS.length)] ?? 0) : 0,
        lastsMs: least + random.int(most - least + 1),
        restMs: 1_000 + random.int(2_000),
      };
    }
  }
}

/** One in five kills takes everybody, and one in five a majority; a freeze now and then all but one. */
function hitCount(kind: FaultKind, hosts: number, random: Random): number {
  const dice = random.int(5);
  if (kind === 'kill' && dice === 0) return hosts;
  if ((kind === 'kill' || kind === 'freeze') && dice === 1) return Math.max(1, hosts - 1);
  return 1;
}

/** Two groups, or now and then everybody alone. The order is random already. */
function groupsOf(order: readonly number[], random: Random): readonly (readonly number[])[] {
  if (order.length > 2 && random.int(4) === 0) return order.map((host) => [host]);
  const cut = 1 + random.int(order.length - 1);
  return [order.slice(0, cut), order.slice(cut)].map((group) => group.toSorted((a, b) => a - b));
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const left = [...items];
  return items.map(() => left.splice(random.int(left.length), 1)[0] as T);
}

/** The fault with its first victim replaced, when it is meant for the holder of the api role. */
export function aimedAt(fault: Fault, holder: number | undefined): Fault {
  if (!fault.hitsSequencer || holder === undefined || fault.hosts.includes(holder)) return fault;
  return { ...fault, hosts: [holder, ...fault.hosts.slice(1)] };
}

/** `kill h1 h2`, `split h1 h2 | h3`, `clock h1 +30 s`. */
export function describeFault({ kind, hosts, groups, clockOffsetMs }: Fault): string {
  const names = (list: readonly number[]) => list.map((host) => `h${host}`).join(' ');
  if (kind === 'split') return `split ${groups.map(names).join(' | ')}`;
  const offset = clockOffsetMs === 0 ? '' : ` ${clockOffsetMs > 0 ? '+' : ''}${clockOffsetMs / 1000} s`;
  return `${kind} ${names(hosts)}${offset}`;
}

/** Which checks a policy consists of, and what they find. Pure. */
import { BASELINE, type VersionedCheck } from './baseline-checks.js';
import type { LevelVersion, PolicyVersion } from './policy.js';
import { RESTRICTED } from './restricted-checks.js';
import type { Check, Finding, Subject } from './subject.js';

/** The minor version whose rules are the newest here. Later ones are taken for it. */
const LATEST_MINOR = 32;

function checkAt({ versions }: VersionedCheck, minor: number): Check | undefined {
  return versions.findLast(([since]) => since <= minor)?.[1];
}

function checksOf(level: LevelVersion['level'], minor: number): Check[] {
  const restricted = level === 'restricted' ? RESTRICTED.filter((check) => checkAt(check, minor)) : [];
  const overridden = new Set(restricted.flatMap(({ overrides = [] }) => overrides));
  const baseline = BASELINE.filter(({ id }) => !overridden.has(id));
  return [...baseline, ...restricted].flatMap((check) => checkAt(check, minor) ?? []);
}

/** Bounded: two levels, {@link LATEST_MINOR} + 1 versions. */
const known = new Map<string, readonly Check[]>();

const minorOf = (version: PolicyVersion) => (version === 'latest' ? LATEST_MINOR : Math.min(version, LATEST_MINOR));

/** All that is wrong with the pod by that policy. */
export function findings({ level, version }: LevelVersion, subject: Subject): readonly Finding[] {
  if (level === 'privileged') return [];
  const key = `${level}:${minorOf(version)}`;
  let checks = known.get(key);
  if (!checks) known.set(key, (checks = checksOf(level, minorOf(version))));
  return checks.flatMap((check) => check(subject) ?? []);
}

/** `reason (detail), reason (detail)`. */
export const describeFindings = (found: readonly Finding[]) =>
  found.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ');

export const describeReasons = (found: readonly Finding[]) => found.map(({ reason }) => reason).join(', ');

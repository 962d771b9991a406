/** The policy that a namespace's labels ask for (KEP-2579). Pure. */
import type { FieldError } from '../../../api/errors.js';

export const LEVELS = ['privileged', 'baseline', 'restricted'] as const;
export type Level = (typeof LEVELS)[number];

/** A minor version of Kubernetes 1.x whose rules hold, or the newest. */
export type PolicyVersion = number | 'latest';

export interface LevelVersion {
  readonly level: Level;
  readonly version: PolicyVersion;
}

export interface Policy {
  readonly enforce: LevelVersion;
  readonly audit: LevelVersion;
  readonly warn: LevelVersion;
  /** Labels that say nothing sensible. What they should have said is taken as the strictest for `enforce`, else as nothing. */
  readonly errors: readonly FieldError[];
}

const PREFIX = 'pod-security.kubernetes.io/';
const MODES = ['enforce', 'audit', 'warn'] as const;
type Mode = (typeof MODES)[number];
const LABELS = MODES.flatMap((mode) => [`${PREFIX}${mode}`, `${PREFIX}${mode}-version`]);

const PRIVILEGED: LevelVersion = Object.freeze({ level: 'privileged', version: 'latest' });
/** No exemptions and no restrictions: the defaults of `PodSecurityConfiguration`. */
export const DEFAULT_POLICY: Policy = Object.freeze({
  enforce: PRIVILEGED,
  audit: PRIVILEGED,
  warn: PRIVILEGED,
  errors: Object.freeze([]),
});

/** `restricted:latest`, `baseline:v1.30`. */
export const describePolicy = ({ level, version }: LevelVersion) =>
  `${level}:${version === 'latest' ? version : `v1.${version}`}`;

export const samePolicy = (a: LevelVersion, b: LevelVersion) => a.level === b.level && a.version === b.version;

/** Positive when `a` is the stricter level. */
export const compareLevels = (a: Level, b: Level) => LEVELS.indexOf(a) - LEVELS.indexOf(b);

type Labels = Readonly<Record<string, string>> | undefined;

function invalidLabel(label: string, value: string, why: string): FieldError {
  const message = `Invalid value: ${JSON.stringify(value)}: ${why}`;
  return { type: 'FieldValueInvalid', field: `metadata.labels[${label}]`, message };
}

function parseMode(labels: Record<string, string>, mode: Mode, errors: FieldError[]): LevelVersion {
  const [levelLabel, versionLabel] = [`${PREFIX}${mode}`, `${PREFIX}${mode}-version`];
  const [levelText, versionText] = [labels[levelLabel], labels[versionLabel]];
  let level: Level = 'privileged';
  if (levelText !== undefined) {
    const known = LEVELS.find((name) => name === levelText);
    if (!known) errors.push(invalidLabel(levelLabel, levelText, `must be one of ${LEVELS.join(', ')}`));
    level = known ?? (mode === 'enforce' ? 'restricted' : 'privileged');
  }
  let version: PolicyVersion = 'latest';
  if (versionText !== undefined && versionText !== 'latest') {
    const minor = /^v1\.(0|[1-9][0-9]{0,5})$/.exec(versionText)?.[1];
    if (minor !== undefined) version = Number(minor);
    else errors.push(invalidLabel(versionLabel, versionText, 'must be "latest" or "v1.x"'));
  }
  return { level, version };
}

/** Cheap for namespaces without such labels. */
export function policyOf(labels: Labels): Policy {
  if (labels === undefined || !LABELS.some((label) => labels[label] !== undefined)) return DEFAULT_POLICY;
  const errors: FieldError[] = [];
  const enforce = parseMode(labels, 'enforce', errors);
  const audit = parseMode(labels, 'audit', errors);
  const asked = parseMode(labels, 'warn', errors);
  // Who will not get pods of a workload should hear of it when he makes the workload.
  const follows = labels[`${PREFIX}warn`] === undefined && compareLevels(enforce.level, asked.level) > 0;
  const version = labels[`${PREFIX}warn-version`] === undefined ? enforce.version : asked.version;
  const warn = follows ? { level: enforce.level, version } : asked;
  return { enforce, audit, warn, errors };
}

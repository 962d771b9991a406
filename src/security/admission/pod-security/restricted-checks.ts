/** What the Restricted profile asks for beyond Baseline (Kubernetes documentation, "Pod Security Standards"). Pure. */
import { isAllowedSeccomp, seccompProfile, type VersionedCheck } from './baseline-checks.js';
import { named, plural, quoted, setters, those, type Check, type Subject } from './subject.js';

const isWindows = ({ spec }: Subject) => spec.os?.name === 'windows';

/** Since 1.25 Windows pods need not state what means nothing there. */
const unlessWindows =
  (check: Check): Check =>
  (subject) =>
    isWindows(subject) ? undefined : check(subject);

const allowPrivilegeEscalation: Check = (subject) => {
  const bad = those(subject, ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false);
  if (bad.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${named(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
};

const capabilities: Check = (subject) => {
  const forbidden = new Set<string>();
  const keeping = those(subject, ({ securityContext }) => !(securityContext?.capabilities?.drop ?? []).includes('ALL'));
  const adding = those(subject, ({ securityContext }) => {
    const added = (securityContext?.capabilities?.add ?? []).filter((name) => name !== 'NET_BIND_SERVICE');
    for (const name of added) forbidden.add(name);
    return added.length > 0;
  });
  if (keeping.length + adding.length === 0) return undefined;
  const details = [
    ...(keeping.length > 0 ? [`${named(keeping)} must set securityContext.capabilities.drop=["ALL"]`] : []),
    ...(adding.length > 0
      ? [`${named(adding)} must not include ${quoted([...forbidden].toSorted())} in securityContext.capabilities.add`]
      : []),
  ];
  return { reason: 'unrestricted capabilities', detail: details.join('; ') };
};

const VOLUMES = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

const restrictedVolumes: Check = ({ spec }) => {
  const names: string[] = [];
  const types = new Set<string>();
  for (const volume of spec.volumes ?? []) {
    const sources = Object.entries(volume).filter(([key, value]) => key !== 'name' && value !== undefined);
    if (sources.some(([key]) => VOLUMES.has(key))) continue;
    names.push(volume.name);
    types.add(sources[0]?.[0] ?? 'unknown');
  }
  if (names.length === 0) return undefined;
  const [volumes, uses] = [plural('volume', 'volumes', names.length), plural('uses', 'use', names.length)];
  const kinds = `restricted volume ${plural('type', 'types', types.size)} ${quoted([...types].toSorted())}`;
  return { reason: 'restricted volume types', detail: `${volumes} ${quoted(names)} ${uses} ${kinds}` };
};

const runAsNonRoot: Check = (subject) => {
  const reason = 'runAsNonRoot != true';
  const whole = subject.spec.securityContext?.runAsNonRoot;
  const root = those(subject, ({ securityContext }) => securityContext?.runAsNonRoot === false);
  if (whole === false || root.length > 0) {
    return { reason, detail: `${setters(whole === false, root)} must not set securityContext.runAsNonRoot=false` };
  }
  const silent = whole === true ? [] : those(subject, ({ securityContext }) => securityContext?.runAsNonRoot !== true);
  if (silent.length === 0) return undefined;
  return { reason, detail: `pod or ${named(silent)} must set securityContext.runAsNonRoot=true` };
};

const runAsUser: Check = (subject) => {
  const pod = subject.spec.securityContext?.runAsUser === 0;
  const bad = those(subject, ({ securityContext }) => securityContext?.runAsUser === 0);
  if (!pod && bad.length === 0) return undefined;
  return { reason: 'runAsUser=0', detail: `${setters(pod, bad)} must not set runAsUser=0` };
};

const seccompStated: Check = (subject) => {
  const wrong = seccompProfile(subject);
  if (wrong) return wrong;
  const type = subject.spec.securityContext?.seccompProfile?.type;
  if (type !== undefined && isAllowedSeccomp(type)) return undefined;
  const silent = those(subject, ({ securityContext }) => securityContext?.seccompProfile === undefined);
  if (silent.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `pod or ${named(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
};

/** By id: the order in which findings are reported, after those of Baseline. */
export const RESTRICTED: readonly VersionedCheck[] = [
  {
    id: 'allowPrivilegeEscalation',
    versions: [
      [8, allowPrivilegeEscalation],
      [25, unlessWindows(allowPrivilegeEscalation)],
    ],
  },
  {
    id: 'capabilities_restricted',
    versions: [
      [22, capabilities],
      [25, unlessWindows(capabilities)],
    ],
    overrides: ['capabilities_baseline'],
  },
  { id: 'restrictedVolumes', versions: [[0, restrictedVolumes]], overrides: ['hostPathVolumes'] },
  { id: 'runAsNonRoot', versions: [[0, runAsNonRoot]] },
  { id: 'runAsUser', versions: [[23, runAsUser]] },
  {
    id: 'seccompProfile_restricted',
    versions: [
      [19, seccompStated],
      [25, unlessWindows(seccompStated)],
    ],
    overrides: ['seccompProfile_baseline'],
  },
];

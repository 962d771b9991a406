/** The controls of the Baseline profile (Kubernetes documentation, "Pod Security Standards"). Pure. */
import { named, plural, quoted, setters, those, type Check, type Subject } from './subject.js';

const hostNamespaces: Check = ({ spec }) => {
  const set = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((name) => spec[name] === true);
  if (set.length === 0) return undefined;
  return { reason: 'host namespaces', detail: set.map((name) => `${name}=true`).join(', ') };
};

const hostPathVolumes: Check = ({ spec }) => {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined).map(({ name }) => name);
  if (names.length === 0) return undefined;
  return { reason: 'hostPath volumes', detail: `${plural('volume', 'volumes', names.length)} ${quoted(names)}` };
};

const hostPorts: Check = (subject) => {
  const ports = new Set<number>();
  const bad = those(subject, ({ ports: own }) => {
    const taken = (own ?? []).flatMap(({ hostPort }) => hostPort || []);
    for (const port of taken) ports.add(port);
    return taken.length > 0;
  });
  if (bad.length === 0) return undefined;
  const list = [...ports].map(String).toSorted().join(', ');
  const detail = `${named(bad)} ${plural('uses', 'use', bad.length)} ${plural('hostPort', 'hostPorts', ports.size)} ${list}`;
  return { reason: 'hostPort', detail };
};

const privileged: Check = (subject) => {
  const bad = those(subject, ({ securityContext }) => securityContext?.privileged === true);
  if (bad.length === 0) return undefined;
  return { reason: 'privileged', detail: `${named(bad)} must not set securityContext.privileged=true` };
};

const DEFAULT_CAPABILITIES = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);

const capabilities: Check = (subject) => {
  const forbidden = new Set<string>();
  const bad = those(subject, ({ securityContext }) => {
    const added = (securityContext?.capabilities?.add ?? []).filter((name) => !DEFAULT_CAPABILITIES.has(name));
    for (const name of added) forbidden.add(name);
    return added.length > 0;
  });
  if (bad.length === 0) return undefined;
  const detail = `${named(bad)} must not include ${quoted([...forbidden].toSorted())} in securityContext.capabilities.add`;
  return { reason: 'non-default capabilities', detail };
};

const procMount: Check = (subject) => {
  const types = new Set<string>();
  const bad = those(subject, ({ securityContext }) => {
    const type = securityContext?.procMount;
    if (type === undefined || type === 'Default') return false;
    types.add(type);
    return true;
  });
  if (bad.length === 0) return undefined;
  const detail = `${named(bad)} must not set securityContext.procMount to ${quoted([...types].toSorted())}`;
  return { reason: 'procMount', detail };
};

const APPARMOR = 'container.apparmor.security.beta.kubernetes.io/';
const allowedAppArmor = (type: string) => type === 'RuntimeDefault' || type === 'Localhost';
const allowedAppArmorAnnotation = (value: string) =>
  value === '' || value === 'runtime/default' || value.startsWith('localhost/');

const appArmorProfile: Check = (subject) => {
  const types = new Set<string>();
  const isBad = (profile: { readonly type: string } | undefined) => {
    if (profile === undefined || allowedAppArmor(profile.type)) return false;
    types.add(profile.type);
    return true;
  };
  const pod = isBad(subject.spec.securityContext?.appArmorProfile);
  const bad = those(subject, ({ securityContext }) => isBad(securityContext?.appArmorProfile));
  const annotations = Object.entries(subject.annotations)
    .filter(([key, value = '']) => key.startsWith(APPARMOR) && !allowedAppArmorAnnotation(value))
    .map(([key, value = '']) => `${key}=${JSON.stringify(value)}`)
    .toSorted();
  const who = [setters(pod, bad), plural('annotation', 'annotations', annotations.length)].filter(
    (text, index) => text !== '' && (index === 0 || annotations.length > 0),
  );
  if (who.length === 0) return undefined;
  const values = [...[...types].toSorted(), ...annotations];
  return {
    reason: plural('forbidden AppArmor profile', 'forbidden AppArmor profiles', values.length),
    detail: `${who.join(' and ')} must not set AppArmor profile type to ${quoted(values)}`,
  };
};

const SELINUX_TYPES = ['', 'container_t', 'container_init_t', 'container_kvm_t'];

/** Kubernetes 1.31 allows the type of containers that run containers in user namespaces. */
const seLinuxOptions = (allowed: ReadonlySet<string>): Check =>
  function check(subject) {
    const types = new Set<string>();
    let [user, role] = [false, false];
    const isBad = (options: { readonly type?: string; readonly user?: string; readonly role?: string } | undefined) => {
      if (options === undefined) return false;
      const badType = !allowed.has(options.type ?? '');
      if (badType) types.add(options.type ?? '');
      const [hasUser, hasRole] = [(options.user ?? '') !== '', (options.role ?? '') !== ''];
      user ||= hasUser;
      role ||= hasRole;
      return badType || hasUser || hasRole;
    };
    const pod = isBad(subject.spec.securityContext?.seLinuxOptions);
    const bad = those(subject, ({ securityContext }) => isBad(securityContext?.seLinuxOptions));
    if (!pod && bad.length === 0) return undefined;
    const data = [
      ...(types.size > 0 ? [`${plural('type', 'types', types.size)} ${quoted([...types].toSorted())}`] : []),
      ...(user ? ['user may not be set'] : []),
      ...(role ? ['role may not be set'] : []),
    ];
    const detail = `${setters(pod, bad)} set forbidden securityContext.seLinuxOptions: ${data.join('; ')}`;
    return { reason: 'seLinuxOptions', detail };
  };

const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER = 'container.seccomp.security.alpha.kubernetes.io/';
const allowedSeccompAnnotation = (value: string) =>
  value === 'runtime/default' || value === 'docker/default' || value.startsWith('localhost/');

/** Before 1.19 the profile was an annotation. */
const seccompAnnotations: Check = ({ annotations, containers }) => {
  const keys = [SECCOMP_POD, ...containers.map(({ name }) => `${SECCOMP_CONTAINER}${name}`)];
  const forbidden = keys
    .flatMap((key) => {
      const value = annotations[key];
      return value === undefined || allowedSeccompAnnotation(value) ? [] : [`${key}=${JSON.stringify(value)}`];
    })
    .toSorted();
  if (forbidden.length === 0) return undefined;
  const what = plural('annotation', 'annotations', forbidden.length);
  return { reason: 'seccompProfile', detail: `forbidden ${what} ${forbidden.join(', ')}` };
};

export const isAllowedSeccomp = (type: string) => type === 'RuntimeDefault' || type === 'Localhost';

/** Profiles that are named and not allowed; what is not named is another check's affair. */
export const seccompProfile: Check = (subject: Subject) => {
  const types = new Set<string>();
  const isBad = (profile: { readonly type: string } | undefined) => {
    if (profile === undefined || isAllowedSeccomp(profile.type)) return false;
    types.add(profile.type);
    return true;
  };
  const pod = isBad(subject.spec.securityContext?.seccompProfile);
  const bad = those(subject, ({ securityContext }) => isBad(securityContext?.seccompProfile));
  if (!pod && bad.length === 0) return undefined;
  const values = quoted([...types].toSorted());
  const detail = `${setters(pod, bad)} must not set securityContext.seccompProfile.type to ${values}`;
  return { reason: 'seccompProfile', detail };
};

const SYSCTLS = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
];
const SYSCTLS_1_27 = [...SYSCTLS, 'net.ipv4.ip_local_reserved_ports'];
const SYSCTLS_1_29 = [
  ...SYSCTLS_1_27,
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
];
const SYSCTLS_1_32 = [...SYSCTLS_1_29, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'];

const sysctls = (names: readonly string[]): Check => {
  const allowed = new Set(names);
  return ({ spec }) => {
    const forbidden = (spec.securityContext?.sysctls ?? [])
      .map(({ name }) => name)
      .filter((name) => !allowed.has(name));
    return forbidden.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: forbidden.join(', ') };
  };
};

const windowsHostProcess: Check = (subject) => {
  const pod = subject.spec.securityContext?.windowsOptions?.hostProcess === true;
  const bad = those(subject, ({ securityContext }) => securityContext?.windowsOptions?.hostProcess === true);
  if (!pod && bad.length === 0) return undefined;
  const detail = `${setters(pod, bad)} must not set securityContext.windowsOptions.hostProcess=true`;
  return { reason: 'hostProcess', detail };
};

export interface VersionedCheck {
  readonly id: string;
  /** By the minor version since which it holds, oldest first. */
  readonly versions: readonly (readonly [sinceMinor: number, check: Check])[];
  /** Baseline checks that this one makes superfluous. */
  readonly overrides?: readonly string[];
}

/** By id: the order in which findings are reported. */
export const BASELINE: readonly VersionedCheck[] = [
  { id: 'appArmorProfile', versions: [[0, appArmorProfile]] },
  { id: 'capabilities_baseline', versions: [[0, capabilities]] },
  { id: 'hostNamespaces', versions: [[0, hostNamespaces]] },
  { id: 'hostPathVolumes', versions: [[0, hostPathVolumes]] },
  { id: 'hostPorts', versions: [[0, hostPorts]] },
  { id: 'privileged', versions: [[0, privileged]] },
  { id: 'procMount', versions: [[0, procMount]] },
  {
    id: 'seLinuxOptions',
    versions: [
      [0, seLinuxOptions(new Set(SELINUX_TYPES))],
      [31, seLinuxOptions(new Set([...SELINUX_TYPES, 'container_engine_t']))],
    ],
  },
  {
    id: 'seccompProfile_baseline',
    versions: [
      [0, seccompAnnotations],
      [19, seccompProfile],
    ],
  },
  {
    id: 'sysctls',
    versions: [
      [0, sysctls(SYSCTLS)],
      [27, sysctls(SYSCTLS_1_27)],
      [29, sysctls(SYSCTLS_1_29)],
      [32, sysctls(SYSCTLS_1_32)],
    ],
  },
  { id: 'windowsHostProcess', versions: [[0, windowsHostProcess]] },
];

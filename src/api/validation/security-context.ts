/** Rules of security contexts: of pods and of containers. */
import type { AppArmorProfile, PodSpec, SeccompProfile, SecurityContext } from '../types/core-v1.js';
import type { FieldErrors } from './field-errors.js';
import type { Sent } from './sent.js';
import { validateLocalPath } from './volumes.js';

const PROFILES = ['Localhost', 'RuntimeDefault', 'Unconfined'];
const MAX_ID = 2147483647;
const SEGMENT = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const SYSCTL = `^(${SEGMENT}[\\./])*${SEGMENT}$`;
const SYSCTL_RE = new RegExp(SYSCTL);
const MAX_SYSCTL = 253;

function validateProfile(
  errors: FieldErrors,
  at: string,
  what: 'seccomp' | 'AppArmor',
  profile: Sent<SeccompProfile | AppArmorProfile> | undefined,
): void {
  if (profile === undefined) return;
  const { type, localhostProfile } = profile;
  const field = what === 'seccomp' ? 'seccompProfile' : 'appArmorProfile';
  if (!type) errors.required(`${at}.type`, `type is required when ${field} is set`);
  else if (type === 'Localhost') {
    if (!localhostProfile?.trim()) {
      errors.required(`${at}.localhostProfile`, `must be set when ${what} type is Localhost`);
    } else if (what === 'seccomp') validateLocalPath(errors, `${at}.localhostProfile`, localhostProfile);
  } else {
    if (localhostProfile !== undefined) {
      const text = `can only be set when ${what} type is Localhost`;
      errors.invalid(`${at}.localhostProfile`, localhostProfile, text);
    }
    errors.oneOf(`${at}.type`, type, PROFILES);
  }
}

export function validateSecurityContext(
  errors: FieldErrors,
  at: string,
  context: Sent<SecurityContext> | undefined,
): void {
  if (context === undefined) return;
  errors.between(`${at}.runAsUser`, context.runAsUser, 0, MAX_ID);
  errors.between(`${at}.runAsGroup`, context.runAsGroup, 0, MAX_ID);
  if (context.procMount !== undefined) errors.oneOf(`${at}.procMount`, context.procMount, ['Default', 'Unmasked']);
  validateProfile(errors, `${at}.seccompProfile`, 'seccomp', context.seccompProfile);
  validateProfile(errors, `${at}.appArmorProfile`, 'AppArmor', context.appArmorProfile);
  if (context.allowPrivilegeEscalation !== false) return;
  const text = 'cannot set `allowPrivilegeEscalation` to false and ';
  if (context.privileged === true) errors.invalid(at, context, `${text}\`privileged\` to true`);
  if (context.capabilities?.add?.includes('CAP_SYS_ADMIN') === true) {
    errors.invalid(at, context, `${text}\`capabilities.Add\` CAP_SYS_ADMIN`);
  }
}

const isIpcSysctl = (name: string) => /^kernel[./]shm|^kernel[./]msg|^kernel[./]sem$|^fs[./]mqueue[./]/.test(name);

function validateSysctls(errors: FieldErrors, at: string, spec: Sent<PodSpec>): void {
  const names = new Set<string>();
  spec.securityContext?.sysctls?.forEach(({ name = '' }, index) => {
    const field = `${at}[${index}].name`;
    if (name === '') errors.required(field);
    else if (name.length > MAX_SYSCTL || !SYSCTL_RE.test(name)) {
      errors.invalid(field, name, `must have at most ${MAX_SYSCTL} characters and match regex ${SYSCTL}`);
    } else if (names.has(name)) errors.duplicate(field, name);
    if (spec.hostNetwork === true && /^net[./]/.test(name)) {
      errors.invalid(field, name, "may not be specified when 'hostNetwork' is true");
    }
    if (spec.hostIPC === true && isIpcSysctl(name)) {
      errors.invalid(field, name, "may not be specified when 'hostIPC' is true");
    }
    names.add(name);
  });
}

/** The pod's own context and the fields of its spec that belong to it. */
export function validatePodSecurity(errors: FieldErrors, at: string, spec: Sent<PodSpec>): void {
  const context = spec.securityContext;
  if (spec.shareProcessNamespace === true && spec.hostPID === true) {
    const text = 'ShareProcessNamespace and HostPID cannot both be enabled';
    errors.invalid(`${at}.shareProcessNamespace`, true, text);
  }
  if (spec.hostUsers === false) {
    for (const field of ['hostNetwork', 'hostPID', 'hostIPC'] as const) {
      if (spec[field] === true) errors.forbidden(`${at}.${field}`, 'when `pod.Spec.HostUsers` is false');
    }
  }
  if (context === undefined) return;
  const field = `${at}.securityContext`;
  for (const id of ['fsGroup', 'runAsUser', 'runAsGroup'] as const) {
    if (context[id] !== undefined) errors.between(`${field}.${id}`, context[id], 0, MAX_ID);
  }
  context.supplementalGroups?.forEach((id, index) =>
    errors.between(`${field}.supplementalGroups[${index}]`, id, 0, MAX_ID),
  );
  if (context.sysctls !== undefined) validateSysctls(errors, `${field}.sysctls`, spec);
  errors.oneOf(`${field}.fsGroupChangePolicy`, context.fsGroupChangePolicy, ['Always', 'OnRootMismatch']);
  validateProfile(errors, `${field}.seccompProfile`, 'seccomp', context.seccompProfile);
  validateProfile(errors, `${field}.appArmorProfile`, 'AppArmor', context.appArmorProfile);
}

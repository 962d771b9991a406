import assert from 'node:assert/strict';
import type { PodSpec } from '../../../../src/api/types/core-v1.js';
import { describeFindings, findings } from '../../../../src/security/admission/pod-security/evaluator.js';
import { describePolicy, policyOf, type LevelVersion } from '../../../../src/security/admission/pod-security/policy.js';
import { podSecurity } from '../../../../src/security/admission/pod-security/plugin.js';
import { subjectOf } from '../../../../src/security/admission/pod-security/subject.js';
import { attributes, lookups } from './attributes.js';

const BASELINE: LevelVersion = { level: 'baseline', version: 'latest' };
const RESTRICTED: LevelVersion = { level: 'restricted', version: 'latest' };

const verdict = (policy: LevelVersion, spec: PodSpec, annotations: Record<string, string> = {}) =>
  describeFindings(findings(policy, subjectOf({ annotations }, spec)));

const spec = (container: object = {}, more: object = {}): PodSpec => ({
  containers: [{ name: 'c', image: 'x', ...container }],
  ...more,
});
const secured = (securityContext: object, more: object = {}): PodSpec => spec({ securityContext }, more);

const GOOD = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  runAsNonRoot: true,
  seccompProfile: { type: 'RuntimeDefault' },
};

/** What breaks each control of Baseline, and how it is reported. */
const BASELINE_CASES: readonly (readonly [what: string, spec: PodSpec, expected: string])[] = [
  [
    'host namespaces',
    spec({}, { hostNetwork: true, hostPID: true, hostIPC: true }),
    'host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)',
  ],
  [
    'a hostPath volume',
    spec({}, { volumes: [{ name: 'v', hostPath: { path: '/' } }] }),
    'hostPath volumes (volume "v")',
  ],
  ['a host port', spec({ ports: [{ containerPort: 80, hostPort: 80 }] }), 'hostPort (container "c" uses hostPort 80)'],
  [
    'a privileged container',
    secured({ privileged: true }),
    'privileged (container "c" must not set securityContext.privileged=true)',
  ],
  [
    'a capability',
    secured({ capabilities: { add: ['NET_ADMIN', 'CHOWN', 'SYS_TIME'] } }),
    'non-default capabilities (container "c" must not include "NET_ADMIN", "SYS_TIME" in securityContext.capabilities.add)',
  ],
  [
    'a proc mount',
    secured({ procMount: 'Unmasked' }),
    'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
  ],
  [
    'an AppArmor profile',
    secured(
      { appArmorProfile: { type: 'Unconfined' } },
      { securityContext: { appArmorProfile: { type: 'Unconfined' } } },
    ),
    'forbidden AppArmor profile (pod and container "c" must not set AppArmor profile type to "Unconfined")',
  ],
  [
    'SELinux options',
    secured({ seLinuxOptions: { type: 'spc_t', user: 'u' } }),
    'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)',
  ],
  [
    'an unconfined seccomp profile',
    spec({}, { securityContext: { seccompProfile: { type: 'Unconfined' } } }),
    'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
  ],
  [
    'a sysctl',
    spec({}, { securityContext: { sysctls: [{ name: 'kernel.msgmax', value: '1' }] } }),
    'forbidden sysctls (kernel.msgmax)',
  ],
  [
    'a Windows host process',
    secured({ windowsOptions: { hostProcess: true } }),
    'hostProcess (container "c" must not set securityContext.windowsOptions.hostProcess=true)',
  ],
];

const RESTRICTED_CASES: readonly (readonly [what: string, spec: PodSpec, expected: string])[] = [
  [
    'a plain pod',
    spec(),
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), ' +
      'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), ' +
      'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), ' +
      'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
  ],
  [
    'volumes',
    secured(GOOD, {
      volumes: [
        { name: 'a', hostPath: { path: '/' } },
        { name: 'b', nfs: { server: 's', path: '/' } },
        { name: 'ok', emptyDir: {} },
      ],
    }),
    'restricted volume types (volumes "a", "b" use restricted volume types "hostPath", "nfs")',
  ],
  ['root', secured({ ...GOOD, runAsUser: 0 }), 'runAsUser=0 (container "c" must not set runAsUser=0)'],
  [
    'an explicit root',
    secured({ ...GOOD, runAsNonRoot: false }, { securityContext: { runAsNonRoot: true } }),
    'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
  ],
  [
    'added capabilities',
    secured({ ...GOOD, capabilities: { drop: ['ALL'], add: ['CHOWN', 'NET_BIND_SERVICE'] } }),
    'unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)',
  ],
];

describe('PodSecurity', () => {
  for (const [what, pod, expected] of BASELINE_CASES) {
    it(`baseline refuses ${what}`, () => assert.equal(verdict(BASELINE, pod), expected));
  }
  for (const [what, pod, expected] of RESTRICTED_CASES) {
    it(`restricted refuses ${what}`, () => assert.equal(verdict(RESTRICTED, pod), expected));
  }

  it('lets pass what keeps the rules', () => {
    assert.equal(verdict(BASELINE, spec()), '');
    assert.equal(verdict(RESTRICTED, secured(GOOD)), '');
    const whole = { runAsNonRoot: true, seccompProfile: { type: 'Localhost', localhostProfile: 'p' } };
    const { allowPrivilegeEscalation, capabilities } = GOOD;
    assert.equal(
      verdict(RESTRICTED, secured({ allowPrivilegeEscalation, capabilities }, { securityContext: whole })),
      '',
    );
  });

  it('counts init and ephemeral containers, in that order', () => {
    const pod = spec(
      { securityContext: { privileged: true } },
      {
        initContainers: [{ name: 'i', image: 'x', securityContext: { privileged: true } }],
        ephemeralContainers: [{ name: 'e', image: 'x', securityContext: { privileged: true } }],
      },
    );
    assert.match(verdict(BASELINE, pod), /containers "i", "c", "e" must not set/);
  });

  it('keeps to the rules of the version that was asked for', () => {
    const sysctl = (name: string) => spec({}, { securityContext: { sysctls: [{ name, value: '1' }] } });
    assert.equal(
      verdict({ level: 'baseline', version: 28 }, sysctl('net.ipv4.tcp_fin_timeout')),
      'forbidden sysctls (net.ipv4.tcp_fin_timeout)',
    );
    assert.equal(verdict({ level: 'baseline', version: 29 }, sysctl('net.ipv4.tcp_fin_timeout')), '');
    assert.equal(verdict({ level: 'baseline', version: 99 }, sysctl('net.ipv4.tcp_wmem')), '');
    const windows = secured({ runAsNonRoot: true }, { os: { name: 'windows' } });
    assert.equal(verdict(RESTRICTED, windows), '');
    assert.match(verdict({ level: 'restricted', version: 24 }, windows), /allowPrivilegeEscalation/);
    assert.equal(verdict({ level: 'restricted', version: 7 }, secured({ runAsNonRoot: true })), '');
  });

  it('reads the labels of a namespace', () => {
    const prefix = 'pod-security.kubernetes.io/';
    assert.equal(policyOf({ a: 'b' }).enforce.level, 'privileged');
    const policy = policyOf({ [`${prefix}enforce`]: 'baseline', [`${prefix}enforce-version`]: 'v1.30' });
    assert.equal(describePolicy(policy.enforce), 'baseline:v1.30');
    assert.equal(describePolicy(policy.warn), 'baseline:v1.30');
    assert.equal(policy.audit.level, 'privileged');
    const wrong = policyOf({ [`${prefix}enforce`]: 'strict', [`${prefix}warn-version`]: '1.2' });
    assert.equal(wrong.enforce.level, 'restricted');
    assert.deepEqual(
      wrong.errors.map(({ field, message }) => `${field}: ${message}`),
      [
        'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted',
        'metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"',
      ],
    );
  });

  it('tells the audit log what it held a pod to, and what that violates', () => {
    const labels = {
      'pod-security.kubernetes.io/enforce': 'baseline',
      'pod-security.kubernetes.io/audit': 'restricted',
    };
    const annotations: Record<string, string> = {};
    const warnings: string[] = [];
    const effects = {
      warn: (text: string) => void warnings.push(text),
      annotate: (key: string, value: string) => void (annotations[key] = value),
      put: () => undefined,
    };
    const pod = { metadata: { namespace: 'ns', name: 'p' }, spec: spec({ securityContext: { runAsNonRoot: true } }) };
    podSecurity.validate?.(
      attributes('pods', pod, { effects }),
      lookups({ namespaces: [{ metadata: { name: 'ns', labels } }] }),
    );
    assert.deepEqual(warnings, []);
    assert.equal(annotations['pod-security.kubernetes.io/enforce-policy'], 'baseline:latest');
    assert.match(
      annotations['pod-security.kubernetes.io/audit-violations'] ?? '',
      /^would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false/,
    );
  });
});

/**
 * ServiceAccount: names the `default` account where none is named, requires the account, takes over its image pull secrets,
 * gives each container the account's token, and holds pods to the secrets of an account that says so.
 */
import { safeSuffix, type Random } from '../../base/random.js';
import { forbidden } from '../../api/errors.js';
import type { Container, EphemeralContainer, Pod, PodSpec, ServiceAccount, Volume } from '../../api/types/core-v1.js';
import { isPodCreation, type AdmissionAttributes, type AdmissionLookups, type AdmissionPlugin } from './admission.js';

const PODS = { group: '', resource: 'pods' };
const DEFAULT_ACCOUNT = 'default';
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';
const ENFORCE_ANNOTATION = 'kubernetes.io/enforce-mountable-secrets';
const VOLUME_PREFIX = 'kube-api-access-';
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const FILE_MODE = 0o644;
/** An hour and a mark: API servers know by it the tokens whose life may be extended. */
const TOKEN_SECONDS = 3607;

const isEphemeralUpdate = ({ operation, group, resource, subresource }: AdmissionAttributes) =>
  operation === 'UPDATE' && group === '' && resource === 'pods' && subresource === 'ephemeralcontainers';

const isMirror = ({ metadata }: Pod) => metadata?.annotations?.[MIRROR_ANNOTATION] !== undefined;

export function serviceAccountAdmission({ random }: { readonly random: Random }): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    handles: (attributes) => isPodCreation(attributes) || isEphemeralUpdate(attributes),
    admit(attributes, lookups) {
      const pod = podOf(attributes);
      const spec = pod?.spec;
      if (!pod || !spec || !isPodCreation(attributes) || isMirror(pod)) return;
      // The older name of the field counts where only it is set.
      const name = spec.serviceAccountName || spec.serviceAccount || DEFAULT_ACCOUNT;
      spec.serviceAccountName = name;
      spec.serviceAccount = name;
      const account = accountOf(attributes, name, lookups);
      if (mountsToken(account, spec)) mountToken(spec, random);
      if ((spec.imagePullSecrets ?? []).length === 0 && (account?.imagePullSecrets ?? []).length > 0) {
        spec.imagePullSecrets = (account?.imagePullSecrets ?? []).map((secret) => ({ ...secret }));
      }
    },
    validate(attributes, lookups) {
      const pod = podOf(attributes);
      if (!pod?.spec) return;
      const refuse = (why: string) => forbidden(PODS, attributes.name, why);
      if (isMirror(pod)) {
        const why = isPodCreation(attributes) ? mirrorProblem(pod.spec) : undefined;
        if (why !== undefined) throw refuse(why);
        return;
      }
      const name = pod.spec.serviceAccountName ?? DEFAULT_ACCOUNT;
      const account = accountOf(attributes, name, lookups);
      if (!account || account.metadata?.annotations?.[ENFORCE_ANNOTATION] !== 'true') return;
      const why = isPodCreation(attributes)
        ? secretProblem(pod.spec, account)
        : containerProblem(pod.spec.ephemeralContainers ?? [], 'ephemeral container', account);
      if (why !== undefined) throw refuse(why);
    },
  };
}

/** Says once that the annotation has had its day, as the strategy of ServiceAccounts upstream. */
export const serviceAccountWarnings: AdmissionPlugin = {
  name: 'ServiceAccountWarnings',
  handles: ({ group, resource, subresource, operation }) =>
    resource === 'serviceaccounts' && group === '' && subresource === '' && operation !== 'DELETE',
  admit({ object, oldObject, effects }) {
    const has = (one: typeof object) => one?.metadata.annotations?.[ENFORCE_ANNOTATION] !== undefined;
    if (!has(object) || has(oldObject)) return;
    effects.warn(
      `metadata.annotations[${ENFORCE_ANNOTATION}]: deprecated in v1.32+; ` +
        'prefer separate namespaces to isolate access to mounted secrets',
    );
  },
};

/** The decoder has checked its types. */
const podOf = ({ object }: AdmissionAttributes) => object as Pod | undefined;

/** Undefined only for a `default` account that is not there yet. */
function accountOf(
  { namespace, name: podName }: AdmissionAttributes,
  name: string,
  lookups: AdmissionLookups,
): ServiceAccount | undefined {
  const account = lookups.get('', 'serviceaccounts', namespace, name) as ServiceAccount | undefined;
  // A controller makes it a moment after the namespace; upstream refuses pods until it is there, and workload controllers
  // retry. Until somebody has changed it, `default` says nothing about pods, so they need not wait.
  if (account || name === DEFAULT_ACCOUNT) return account;
  const why = `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`;
  throw forbidden(PODS, podName, why);
}

const mountsToken = (account: ServiceAccount | undefined, spec: PodSpec) =>
  spec.automountServiceAccountToken ?? account?.automountServiceAccountToken ?? true;

/** One volume for all containers that mount nothing there themselves. */
function mountToken(spec: PodSpec, random: Random): void {
  const present = (spec.volumes ?? []).find(({ name }) => name.startsWith(VOLUME_PREFIX));
  const name = present?.name ?? freeName(spec.volumes ?? [], random);
  let needed = false;
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    const mounts = container.volumeMounts ?? [];
    if (mounts.some(({ mountPath }) => mountPath === MOUNT_PATH)) continue;
    container.volumeMounts = [...mounts, { name, readOnly: true, mountPath: MOUNT_PATH }];
    needed = true;
  }
  if (needed && !present) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function freeName(volumes: readonly Volume[], random: Random): string {
  for (;;) {
    const name = `${VOLUME_PREFIX}${safeSuffix(random)}`;
    if (!volumes.some((volume) => volume.name === name)) return name;
  }
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
      defaultMode: FILE_MODE,
    },
  };
}

/** A mirror pod stands for one that runs without the API: it may not ask the API for anything. */
function mirrorProblem(spec: PodSpec): string | undefined {
  if (spec.serviceAccountName) return 'a mirror pod may not reference service accounts';
  if (secretsOf(spec).length > 0) return 'a mirror pod may not reference secrets';
  const tokens = (spec.volumes ?? []).some(({ projected }) =>
    projected?.sources?.some(({ serviceAccountToken }) => serviceAccountToken !== undefined),
  );
  return tokens ? 'a mirror pod may not use ServiceAccountToken volume projections' : undefined;
}

/** Every secret that containers, volumes and image pulls name. */
function secretsOf(spec: PodSpec): string[] {
  const containers = [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
  const environment = containers.flatMap(({ env = [], envFrom = [] }) => [
    ...env.map(({ valueFrom }) => valueFrom?.secretKeyRef?.name),
    ...envFrom.map(({ secretRef }) => secretRef?.name),
  ]);
  const volumes = (spec.volumes ?? []).flatMap((volume) => [
    volume.secret?.secretName,
    ...(volume.projected?.sources ?? []).map(({ secret }) => secret?.name),
    volume.azureFile?.secretName,
    volume.cephfs?.secretRef?.name,
    volume.cinder?.secretRef?.name,
    volume.csi?.nodePublishSecretRef?.name,
    volume.flexVolume?.secretRef?.name,
    volume.iscsi?.secretRef?.name,
    volume.rbd?.secretRef?.name,
    volume.scaleIO?.secretRef?.name,
    volume.storageos?.secretRef?.name,
  ]);
  const pulls = (spec.imagePullSecrets ?? []).map(({ name }) => name);
  return [...environment, ...volumes, ...pulls].filter((name): name is string => name !== undefined && name !== '');
}

const mountable = (account: ServiceAccount) => new Set((account.secrets ?? []).map(({ name }) => name));

/** What upstream's `limitSecretReferences` refuses. */
function secretProblem(spec: PodSpec, account: ServiceAccount): string | undefined {
  const allowed = mountable(account);
  const name = account.metadata?.name ?? '';
  for (const { secret } of spec.volumes ?? []) {
    if (secret?.secretName === undefined || allowed.has(secret.secretName)) continue;
    return (
      `volume with secret.secretName="${secret.secretName}" is not allowed because service account ${name} ` +
      'does not reference that secret'
    );
  }
  const trouble =
    containerProblem(spec.initContainers ?? [], 'init container', account) ??
    containerProblem(spec.containers, 'container', account);
  if (trouble !== undefined) return trouble;
  const pullable = new Set((account.imagePullSecrets ?? []).map((secret) => secret.name));
  for (const [index, secret] of (spec.imagePullSecrets ?? []).entries()) {
    if (pullable.has(secret.name)) continue;
    return (
      `imagePullSecrets[${index}].name="${String(secret.name)}" is not allowed because service account ${name} ` +
      'does not reference that imagePullSecret'
    );
  }
  return undefined;
}

function containerProblem(
  containers: readonly (Container | EphemeralContainer)[],
  what: string,
  account: ServiceAccount,
): string | undefined {
  const allowed = mountable(account);
  const suffix = `is not allowed because service account ${account.metadata?.name ?? ''} does not reference that secret`;
  for (const { name, env = [], envFrom = [] } of containers) {
    for (const variable of env) {
      const secret = variable.valueFrom?.secretKeyRef?.name;
      if (secret === undefined || allowed.has(secret)) continue;
      return `${what} ${name} with envVar ${variable.name} referencing secret.secretName="${secret}" ${suffix}`;
    }
    for (const { secretRef } of envFrom) {
      const secret = secretRef?.name;
      if (secret === undefined || allowed.has(secret)) continue;
      return `${what} ${name} with envFrom referencing secret.secretName="${secret}" ${suffix}`;
    }
  }
  return undefined;
}

/** What a pod, or a volume it uses, makes its node read: the edges of upstream's graph of the node authorizer. */
import type { KubeObject } from '../../../api/object.js';
import type { Container, PersistentVolume, Pod, Volume } from '../../../api/types/core-v1.js';

export interface PodReferences {
  readonly secrets: ReadonlySet<string>;
  readonly configMaps: ReadonlySet<string>;
  readonly claims: ReadonlySet<string>;
}

type Names = Set<string>;

const add = (names: Names, name: string | undefined) => {
  if (name) names.add(name);
};

function addContainer({ env = [], envFrom = [] }: Pick<Container, 'env' | 'envFrom'>, secrets: Names, maps: Names) {
  for (const { valueFrom } of env) {
    add(secrets, valueFrom?.secretKeyRef?.name);
    add(maps, valueFrom?.configMapKeyRef?.name);
  }
  for (const { secretRef, configMapRef } of envFrom) {
    add(secrets, secretRef?.name);
    add(maps, configMapRef?.name);
  }
}

/** Volume sources that name a Secret of the pod's namespace as `secretRef.name`. */
const WITH_SECRET_REF = ['cephfs', 'flexVolume', 'iscsi', 'rbd', 'scaleIO', 'storageos'] as const;

function addVolume(volume: Volume, podName: string, secrets: Names, maps: Names, claims: Names): void {
  add(secrets, volume.secret?.secretName);
  add(secrets, volume.azureFile?.secretName);
  add(secrets, volume.csi?.nodePublishSecretRef?.name);
  for (const source of WITH_SECRET_REF) add(secrets, volume[source]?.secretRef?.name);
  add(maps, volume.configMap?.name);
  add(claims, volume.persistentVolumeClaim?.claimName);
  if (volume.ephemeral) add(claims, `${podName}-${volume.name}`);
  for (const { secret, configMap } of volume.projected?.sources ?? []) {
    add(secrets, secret?.name);
    add(maps, configMap?.name);
  }
}

export function podReferences(object: KubeObject): PodReferences {
  const { metadata, spec } = object as Pod;
  const [secrets, configMaps, claims] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const { name } of spec?.imagePullSecrets ?? []) add(secrets, name);
  const containers = [
    ...(spec?.containers ?? []),
    ...(spec?.initContainers ?? []),
    ...(spec?.ephemeralContainers ?? []),
  ];
  for (const container of containers) addContainer(container, secrets, configMaps);
  for (const volume of spec?.volumes ?? []) addVolume(volume, metadata.name ?? '', secrets, configMaps, claims);
  return { secrets, configMaps, claims };
}

interface SecretName {
  readonly name?: string;
  readonly namespace?: string;
}

/** Whether mounting the volume needs the Secret. Sources that name no namespace mean that of the claim. */
export function volumeNeedsSecret(object: KubeObject, namespace: string, name: string): boolean {
  const { spec } = object as PersistentVolume;
  if (!spec) return false;
  const { azureFile, cephfs, csi, flexVolume, iscsi, rbd, scaleIO, storageos } = spec;
  const references: readonly (SecretName | undefined)[] = [
    azureFile && {
      name: azureFile.secretName,
      ...(azureFile.secretNamespace ? { namespace: azureFile.secretNamespace } : {}),
    },
    cephfs?.secretRef,
    flexVolume?.secretRef,
    iscsi?.secretRef,
    rbd?.secretRef,
    scaleIO?.secretRef,
    storageos?.secretRef,
    csi?.controllerPublishSecretRef,
    csi?.nodePublishSecretRef,
    csi?.nodeStageSecretRef,
    csi?.controllerExpandSecretRef,
    csi?.nodeExpandSecretRef,
  ];
  const fallback = spec.claimRef?.namespace ?? '';
  return references.some(
    (reference) => reference?.name === name && (reference.namespace ? reference.namespace : fallback) === namespace,
  );
}

/** Each namespace has a `default` ServiceAccount and the cluster's CA in the ConfigMap `kube-root-ca.crt`. */
import { isAlreadyExists, isNamespaceTerminating, isNotFound } from '../../../api/errors.js';
import { CONFIGMAPS, NAMESPACES, SERVICEACCOUNTS } from '../../../api/resource.js';
import type { ConfigMap, Namespace, ServiceAccount } from '../../../api/types/core-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

export interface ServiceAccountOptions {
  /** The certificates that vouch for the API, PEM. */
  readonly caPem: string;
}

const DEFAULT = 'default';
const ROOT_CA = 'kube-root-ca.crt';
const DESCRIPTION = {
  'kubernetes.io/description':
    'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the ' +
    'internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.',
};

export function serviceAccountController(deps: SharedDeps, { caPem }: ServiceAccountOptions): Controller {
  const { client } = deps;
  const namespaces = deps.informers.of<Namespace>(NAMESPACES);
  const accounts = deps.informers.of<ServiceAccount>(SERVICEACCOUNTS);
  const configMaps = deps.informers.of<ConfigMap>(CONFIGMAPS);
  const controller = new Controller(deps, {
    name: 'serviceaccount',
    workers: 2,
    waitFor: [namespaces, accounts, configMaps],
    reconcile,
  });
  const wake = (name: string | undefined) => controller.queue.add(name ?? '');
  namespaces.addHandler({ onUpsert: ({ metadata }) => wake(metadata.name) });
  accounts.addHandler({
    onDelete: ({ metadata }) => {
      if (metadata.name === DEFAULT) wake(metadata.namespace);
    },
  });
  const onConfigMap = ({ metadata }: ConfigMap) => {
    if (metadata.name === ROOT_CA) wake(metadata.namespace);
  };
  configMaps.addHandler({ onUpsert: onConfigMap, onDelete: onConfigMap });

  async function reconcile(name: string): Promise<void> {
    const namespace = namespaces.get('', name);
    if (!namespace || namespace.metadata.deletionTimestamp || namespace.status?.phase === 'Terminating') return;
    const metadata = { namespace: name };
    if (!accounts.get(name, DEFAULT)) {
      await unlessGoing(client.create<ServiceAccount>(SERVICEACCOUNTS, { metadata: { ...metadata, name: DEFAULT } }));
    }
    const data = { 'ca.crt': caPem };
    const present = configMaps.get(name, ROOT_CA);
    if (!present) {
      const made: ConfigMap = { metadata: { ...metadata, name: ROOT_CA, annotations: DESCRIPTION }, data };
      await unlessGoing(client.create<ConfigMap>(CONFIGMAPS, made));
    } else if (present.data?.['ca.crt'] !== caPem || Object.keys(present.data).length !== 1) {
      await unlessGoing(client.update<ConfigMap>(CONFIGMAPS, { ...present, data }));
    }
  }
  return controller;
}

/** Lets pass that it is there already, or that the namespace has begun to go. Other refusals, as a full quota, are tried again. */
async function unlessGoing(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isAlreadyExists(error) && !isNotFound(error) && !isNamespaceTerminating(error)) throw error;
  }
}

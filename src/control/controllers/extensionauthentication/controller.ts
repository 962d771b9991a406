/**
 * Publishes what aggregated API servers authenticate requests by: the ConfigMap `kube-system/extension-apiserver-authentication`
 * (Kubernetes' "Configure the Aggregation Layer"). The Role `extension-apiserver-authentication-reader` lets them read it.
 */
import { isDeepStrictEqual } from 'node:util';
import { isAlreadyExists, isNotFound } from '../../../api/errors.js';
import { CONFIGMAPS, NAMESPACES } from '../../../api/resource.js';
import type { ConfigMap, Namespace } from '../../../api/types/core-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

export interface FrontProxyAuthority {
  /** A certificate of the authority; each peer has another one. */
  authorityPem(): Promise<string>;
  /** Whether a published certificate is of the same authority and lasts. */
  isCurrent(pem: string): boolean;
}

const NAMESPACE = 'kube-system';
const NAME = 'extension-apiserver-authentication';
const FRONT_PROXY_CA = 'requestheader-client-ca-file';
/** kubeadm's, each a JSON list of texts. */
const FIXED: Readonly<Record<string, string>> = {
  'requestheader-allowed-names': '["front-proxy-client"]',
  'requestheader-username-headers': '["X-Remote-User"]',
  'requestheader-group-headers': '["X-Remote-Group"]',
  'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
};

/** `caPem`: who signs client certificates for the API itself. */
export function extensionAuthenticationController(
  deps: SharedDeps,
  caPem: string,
  frontProxy: FrontProxyAuthority,
): Controller {
  const { client } = deps;
  const namespaces = deps.informers.of<Namespace>(NAMESPACES);
  const configMaps = deps.informers.of<ConfigMap>(CONFIGMAPS);
  const controller = new Controller(deps, {
    name: 'extension-authentication',
    waitFor: [namespaces, configMaps],
    reconcile,
  });
  namespaces.addHandler({
    onUpsert: ({ metadata }) => {
      if (metadata.name === NAMESPACE) controller.queue.add(NAME);
    },
  });
  const onConfigMap = ({ metadata }: ConfigMap) => {
    if (metadata.namespace === NAMESPACE && metadata.name === NAME) controller.queue.add(NAME);
  };
  configMaps.addHandler({ onUpsert: onConfigMap, onDelete: onConfigMap });

  async function reconcile(): Promise<void> {
    if (!namespaces.get('', NAMESPACE)) return;
    const present = configMaps.get(NAMESPACE, NAME);
    const published = present?.data?.[FRONT_PROXY_CA] ?? '';
    const authority = frontProxy.isCurrent(published) ? published : await frontProxy.authorityPem();
    const data = { 'client-ca-file': caPem, [FRONT_PROXY_CA]: authority, ...FIXED };
    try {
      if (!present)
        await client.create<ConfigMap>(CONFIGMAPS, { metadata: { namespace: NAMESPACE, name: NAME }, data });
      else if (!isDeepStrictEqual(present.data, data)) await client.update<ConfigMap>(CONFIGMAPS, { ...present, data });
    } catch (error) {
      if (!isAlreadyExists(error) && !isNotFound(error)) throw error;
    }
  }
  return controller;
}

/** Join tokens in the cluster's own store: Secrets in kube-system, as Kubernetes keeps bootstrap tokens. */
import { isNotFound } from '../api/errors.js';
import { SECRETS } from '../api/resource.js';
import type { Secret } from '../api/types/core-v1.js';
import type { Client } from '../client/client.js';
import {
  tokenFromSecret,
  tokenSecretName,
  tokenToSecret,
  type TokenRecord,
  type TokenStore,
} from '../security/ca/token.js';

const NAMESPACE = 'kube-system';
const PREFIX = tokenSecretName('');

export interface ManagedTokenStore extends TokenStore {
  list(): Promise<TokenRecord[]>;
  /** False when there is none. */
  revoke(id: string): Promise<boolean>;
}

export function createTokenStore(client: Client): ManagedTokenStore {
  return {
    async get(id) {
      try {
        return tokenFromSecret(await client.get<Secret>(SECRETS, NAMESPACE, tokenSecretName(id)));
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    async put(record) {
      await client.create<Secret>(SECRETS, tokenToSecret(record) as Secret);
    },
    async list() {
      const { items } = await client.list<Secret>(SECRETS, { namespace: NAMESPACE });
      return items
        .filter(({ metadata }) => metadata.name?.startsWith(PREFIX))
        .flatMap((secret) => tokenFromSecret(secret) ?? []);
    },
    async revoke(id) {
      try {
        await client.delete(SECRETS, NAMESPACE, tokenSecretName(id));
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },
  };
}

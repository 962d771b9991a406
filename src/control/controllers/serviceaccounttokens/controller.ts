/**
 * Fills Secrets of the type `kubernetes.io/service-account-token` with the token of the account that their annotation
 * names, the cluster's certificate and their namespace, and deletes them when the account is gone (upstream's
 * `serviceaccount-token` controller). An account's `secrets` forget a Secret that was deleted.
 */
import { isConflict, isNotFound } from '../../../api/errors.js';
import { keyOf, splitKey, type KubeObject } from '../../../api/object.js';
import { SECRETS, SERVICEACCOUNTS } from '../../../api/resource.js';
import type { Secret, ServiceAccount } from '../../../api/types/core-v1.js';
import { Controller } from '../../../client/controller.js';
import type { SharedDeps } from '../deps.js';

export interface ServiceAccountTokensOptions {
  /** The certificates that vouch for the API, PEM. */
  readonly caPem: string;
  /** A signed token that names the account and the Secret that will hold it. */
  signSecretToken(account: KubeObject, secretName: string): Promise<string>;
}

const TYPE = 'kubernetes.io/service-account-token';
const NAME_ANNOTATION = 'kubernetes.io/service-account.name';
const UID_ANNOTATION = 'kubernetes.io/service-account.uid';

const isTokenSecret = ({ type }: Secret) => type === TYPE;
const accountNameOf = ({ metadata }: Secret) => metadata?.annotations?.[NAME_ANNOTATION] ?? '';
const base64 = (text: string) => Buffer.from(text, 'utf8').toString('base64');

export function serviceAccountTokensController(deps: SharedDeps, options: ServiceAccountTokensOptions): Controller {
  const { client } = deps;
  const secrets = deps.informers.of<Secret & KubeObject>(SECRETS);
  const accounts = deps.informers.of<ServiceAccount & KubeObject>(SERVICEACCOUNTS);
  /** Token Secrets by `namespace/account`; there are few, and most Secrets are none. */
  const ofAccount = new Map<string, Set<string>>();
  const controller = new Controller(deps, {
    name: 'serviceaccount-tokens',
    workers: 2,
    waitFor: [secrets, accounts],
    reconcile: (key) => (key.startsWith('account:') ? forgetSecrets(key.slice(8)) : reconcile(key)),
  });

  secrets.addHandler({
    onUpsert: (secret, previous) => {
      if (previous && isTokenSecret(previous)) forget(previous);
      if (!isTokenSecret(secret)) return;
      const account = `${secret.metadata.namespace}/${accountNameOf(secret)}`;
      const known = ofAccount.get(account) ?? new Set();
      ofAccount.set(account, known.add(keyOf(secret)));
      controller.queue.add(keyOf(secret));
    },
    onDelete: (secret) => {
      if (!isTokenSecret(secret)) return;
      forget(secret);
      controller.queue.add(`account:${secret.metadata.namespace}/${accountNameOf(secret)}`);
    },
  });
  const wake = (account: ServiceAccount & KubeObject) => {
    for (const key of ofAccount.get(keyOf(account)) ?? []) controller.queue.add(key);
  };
  accounts.addHandler({ onUpsert: wake, onDelete: wake });

  function forget(secret: Secret & KubeObject): void {
    const account = `${secret.metadata.namespace}/${accountNameOf(secret)}`;
    const known = ofAccount.get(account);
    known?.delete(keyOf(secret));
    if (known?.size === 0) ofAccount.delete(account);
  }

  async function reconcile(key: string): Promise<void> {
    const { namespace, name } = splitKey(key);
    const secret = secrets.get(namespace, name);
    if (!secret || !isTokenSecret(secret) || secret.metadata.deletionTimestamp) return;
    const account = accounts.get(namespace, accountNameOf(secret));
    const uid = secret.metadata.annotations?.[UID_ANNOTATION];
    if (!account || (uid !== undefined && uid !== '' && uid !== account.metadata.uid)) {
      await remove(secret);
      return;
    }
    await fill(secret, account);
  }

  /** The cache may be behind an account that was just made: asked once more before a Secret is lost. */
  async function remove(secret: Secret & KubeObject): Promise<void> {
    const { namespace = '', name = '', uid, annotations } = secret.metadata;
    const account = await client
      .get<ServiceAccount & KubeObject>(SERVICEACCOUNTS, namespace, accountNameOf(secret))
      .catch((error: unknown) => {
        if (isNotFound(error)) return undefined;
        throw error;
      });
    const wanted = annotations?.[UID_ANNOTATION];
    if (account && (wanted === undefined || wanted === '' || wanted === account.metadata.uid)) {
      await fill(secret, account);
      return;
    }
    try {
      await client.delete(SECRETS, namespace, name, uid === undefined ? {} : { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }

  async function fill(secret: Secret & KubeObject, account: ServiceAccount & KubeObject): Promise<void> {
    const { namespace = '', name = '', annotations = {} } = secret.metadata;
    const { uid = '' } = account.metadata;
    const data = secret.data ?? {};
    const wanted = {
      'ca.crt': base64(options.caPem),
      namespace: base64(namespace),
      token: data['token'] || base64(await options.signSecretToken(account, name)),
    };
    const same = Object.entries(wanted).every(([key, value]) => data[key] === value);
    if (same && annotations[UID_ANNOTATION] === uid) return;
    await client.update<Secret & KubeObject>(SECRETS, {
      ...secret,
      metadata: { ...secret.metadata, annotations: { ...annotations, [UID_ANNOTATION]: uid } },
      data: { ...data, ...wanted },
    });
  }

  /** Takes Secrets that are gone out of the account's list. */
  async function forgetSecrets(key: string): Promise<void> {
    const { namespace, name } = splitKey(key);
    const account = accounts.get(namespace, name);
    const listed = account?.secrets ?? [];
    if (!account || listed.length === 0) return;
    const present = listed.filter((reference) => secrets.get(namespace, reference.name ?? ''));
    if (present.length === listed.length) return;
    await client.update<ServiceAccount & KubeObject>(SERVICEACCOUNTS, { ...account, secrets: present });
  }

  return controller;
}

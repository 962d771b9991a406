/**
 * Peers that were removed from the cluster and may not come back under their identity: one record each, below no API kind,
 * written by the sequencer when it strikes the peer off the register and never changed. So a merge of two parts has those of
 * both. A record may go when the cluster's CA has expired: what it signed proves nothing then.
 */
import type { KubeObject } from '../../api/object.js';
import { keyString, type ObjectKey } from '../object-store.js';

export interface RevokedPeer extends KubeObject {
  /** The node's name. */
  readonly node: string;
  /** RFC 3339. */
  readonly revoked: string;
  readonly expires: string;
}

export const REVOKED_PEERS = Object.freeze({ group: 'internal.skein.dev', resource: 'revokedpeers' });

export const revokedPeerKey = (id: string): ObjectKey => ({ ...REVOKED_PEERS, namespace: '', name: id });

const KEY_PREFIX = keyString(revokedPeerKey(''));

/** Whether the peer's removal shows in that state, which is a map of objects by their `keyString`. */
export const isRevoked = (state: { get(key: string): KubeObject | undefined }, id: string): boolean =>
  state.get(KEY_PREFIX + id) !== undefined;

export const revokedPeer = (
  id: string,
  node: string,
  times: Pick<RevokedPeer, 'revoked' | 'expires'>,
): RevokedPeer => ({
  apiVersion: 'internal.skein.dev/v1',
  kind: 'RevokedPeer',
  metadata: { name: id, uid: id },
  node,
  ...times,
});

/** Who may take part: decided by the composition root, enforced by the transport right after a connection opens. */
import type { PeerInfo } from '../transport.js';

export type AdmissionResult =
  | { readonly ok: true; readonly peer: PeerInfo }
  /** `name`: the node's, when the peer proved it. */
  | { readonly ok: false; readonly reason: string; readonly name?: string };

export interface Admission {
  /** What this peer says about itself: its signed membership record and its addresses. At most 64 KiB. */
  hello(self: PeerInfo): Uint8Array;
  /**
   * Judges a hello. `peerId` has been proved by the connection's handshake; the returned peer must have that id.
   * Synchronous, so that nothing the peer sends afterwards can overtake its admission.
   */
  admit(peerId: string, hello: Uint8Array): AdmissionResult;
  /**
   * Why that peer is not to be talked to at all (it was revoked), or no longer; undefined when it may. Its connection is refused
   * before this side says hello, and it is told why.
   */
  denied?(peer: Pick<PeerInfo, 'id' | 'formats'>): string | undefined;
}

/** Where known peers are kept between runs. */
export interface AddressBook {
  load(): Promise<readonly AddressBookEntry[]>;
  /** Replaces everything. Called at most once a second. */
  save(entries: readonly AddressBookEntry[]): Promise<void>;
}

export interface AddressBookEntry {
  readonly id?: string;
  readonly addresses: readonly string[];
}

/** An address book that forgets with the process. */
export const noAddressBook: AddressBook = {
  load: () => Promise.resolve([]),
  save: () => Promise.resolve(),
};

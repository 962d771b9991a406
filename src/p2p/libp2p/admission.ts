/** Who may take part: decided by the composition root, enforced by the transport right after a connection opens. */
import type { PeerInfo } from '../transport.js';

export type AdmissionResult =
  { readonly ok: true; readonly peer: PeerInfo } | { readonly ok: false; readonly reason: string };

export interface Admission {
  /** What this peer says about itself: its signed membership record and its addresses. At most 64 KiB. */
  hello(self: PeerInfo): Uint8Array;
  /**
   * Judges a hello. `peerId` has been proved by the connection's handshake; the returned peer must have that id.
   * Synchronous, so that nothing the peer sends afterwards can overtake its admission.
   */
  admit(peerId: string, hello: Uint8Array): AdmissionResult;
  /** True for peers that are not to be talked to at all (revoked): their connections are refused before the hello. */
  denied?(peerId: string): boolean;
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

/** How a certificate names the peer that it was made for: a URI among its alternative names. */
const PREFIX = 'urn:skein:peer:';

export const peerUri = (peerId: string): string => PREFIX + peerId;

/** The inverse, of Node's text of a certificate's alternative names; undefined when none is a peer. */
export const peerIn = (alternativeNames: string | undefined): string | undefined =>
  /(?:^|, )URI:urn:skein:peer:([A-Za-z0-9]+)(?:,|$)/.exec(alternativeNames ?? '')?.[1];

/** What a TLS server shows and a client proves itself with; PEM. */
export interface TlsMaterial {
  readonly key: string;
  readonly cert: string;
  /** Whose signature on the other side's certificate counts. */
  readonly ca: string;
}

/** Calls with every new certificate, for connections from then on, until the returned function is called. */
export interface TlsRenewals {
  onRenewal(listener: (tls: TlsMaterial) => void): () => void;
}

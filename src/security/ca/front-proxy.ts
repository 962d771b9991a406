/**
 * How a peer proves to an aggregated API server that it speaks for the user that it names (Kubernetes' request-header
 * authentication, "Authenticating Proxy"): by a client certificate of an authority that signs nothing else. It is not the
 * cluster's own, since everybody may have a certificate of that one in which he chose his name. Its key is derived from the
 * cluster's secret, so any peer can sign for itself, alone and after a restart.
 */
import type { Clock } from '../../base/clock.js';
import { derivedPrivateKey } from '../../base/derived-key.js';
import type { Random } from '../../base/random.js';
import { ClusterCa, type CertificatePem } from './authority.js';
import { keyMatches, renewalDue, renewalDueMs } from './pem.js';

/** Both names are kubeadm's. */
const AUTHORITY = 'front-proxy-ca';
export const FRONT_PROXY_CLIENT = 'front-proxy-client';
const PURPOSE = 'front proxy authority';

export class FrontProxy {
  private readonly keyPem: string;
  private made: Promise<ClusterCa> | undefined;
  private client: (CertificatePem & { readonly dueMs: number }) | undefined;

  constructor(
    private readonly deps: { readonly clock: Clock; readonly random: Random },
    clusterSecret: Uint8Array,
  ) {
    this.keyPem = derivedPrivateKey(clusterSecret, PURPOSE).export({ type: 'pkcs8', format: 'pem' }).toString();
  }

  /** A certificate of the authority: no two peers show the same one, and each verifies what the others sign. */
  async authorityPem(): Promise<string> {
    return (await this.authority()).certPem;
  }

  /** Whether a published text is one certificate of this authority that will last. */
  isCurrent(pem: string): boolean {
    if (pem.split('-----BEGIN CERTIFICATE-----').length !== 2) return false;
    try {
      return keyMatches(pem, this.keyPem) && !renewalDue(pem, this.deps.clock.nowMs());
    } catch {
      return false;
    }
  }

  /** The certificate to show now; another one in time before it expires. */
  async credentials(): Promise<CertificatePem> {
    if (this.client === undefined || this.deps.clock.nowMs() > this.client.dueMs) {
      const ca = await this.authority();
      const issued = await ca.issueClient({ commonName: FRONT_PROXY_CLIENT, organizations: [] });
      this.client = { ...issued, dueMs: renewalDueMs(issued.certPem) };
    }
    return this.client;
  }

  private authority(): Promise<ClusterCa> {
    return (this.made ??= ClusterCa.ofKey(this.deps, this.keyPem, AUTHORITY));
  }
}

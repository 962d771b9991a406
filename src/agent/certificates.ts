/**
 * This peer's certificate (for its API, its kubelet and as a client of others) and the one in `admin.kubeconfig`, renewed in
 * time while the agent runs, as kubelet's certificate rotation does. Connections go on with what they began with; new ones get
 * the new certificate. Renewals that fail are tried again at the next look. One look at a time.
 */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.js';
import type { Service } from '../base/lifecycle.js';
import { errorText, type Logger } from '../base/log.js';
import type { Random } from '../base/random.js';
import type { TlsMaterial, TlsRenewals } from '../base/tls.js';
import { ADMIN, type ClusterCa, type ServingRequest } from '../security/ca/authority.js';
import { renewCertificate } from '../security/ca/founding.js';
import type { NodeIdentity } from '../security/ca/identity-store.js';
import { renewalDue } from '../security/ca/pem.js';
import { adminKubeconfig } from './admin-kubeconfig.js';

export interface CertificateSettings {
  readonly dataDir: string;
  /** The server in `admin.kubeconfig`. */
  readonly apiUrl: string;
  readonly request: Pick<ServingRequest, 'addresses' | 'serviceIp'>;
  /** Of new certificates, in milliseconds: they are renewed when a third of it is left. */
  readonly lifeMs: number;
}

/** Milliseconds between looks, unless a life is so short that a tenth of it is less. */
const LOOK_MS = 10 * 60_000;

export class Certificates implements Service, TlsRenewals {
  readonly name = 'certificates';
  private readonly listeners = new Set<(tls: TlsMaterial) => void>();
  private adminCertPem: string | undefined;
  private looking: Promise<void> | undefined;
  private cancel: () => void = () => undefined;

  constructor(
    private readonly deps: { readonly clock: Clock; readonly random: Random; readonly log: Logger },
    private readonly ca: ClusterCa,
    private identity: NodeIdentity,
    private readonly settings: CertificateSettings,
  ) {}

  get tls(): TlsMaterial {
    const { keyPem, certPem, caCertPem } = this.identity;
    return { key: keyPem, cert: certPem, ca: caCertPem };
  }

  onRenewal(listener: (tls: TlsMaterial) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * Writes `admin.kubeconfig` anew, since addresses may have changed. To be called when the store of the data directory is this
   * agent's: a second one started by mistake must not spoil it for the first.
   */
  async start(): Promise<void> {
    await this.writeAdmin();
    this.cancel = this.deps.clock.interval(Math.min(LOOK_MS, this.settings.lifeMs / 10), () => {
      this.looking ??= this.look().finally(() => (this.looking = undefined));
    });
  }

  async stop(): Promise<void> {
    this.cancel();
    await this.settled();
  }

  /** Resolves when no look is under way. */
  async settled(): Promise<void> {
    await this.looking;
  }

  private async look(): Promise<void> {
    const { clock, log } = this.deps;
    try {
      if (this.adminCertPem && renewalDue(this.adminCertPem, clock.nowMs())) await this.writeAdmin();
      const { dataDir, request, lifeMs } = this.settings;
      const renewed = await renewCertificate(this.deps, dataDir, this.identity, { ...request, lifeMs });
      if (renewed === this.identity) return;
      this.identity = renewed;
      log.info("renewed this peer's certificate");
      for (const listener of this.listeners) listener(this.tls);
    } catch (error) {
      log.error('a certificate could not be renewed; trying again', { error: errorText(error) });
    }
  }

  /** Full rights, so 0600. */
  private async writeAdmin(): Promise<void> {
    const { dataDir, apiUrl, lifeMs } = this.settings;
    const issued = await this.ca.issueClient({ ...ADMIN, lifeMs });
    const path = join(dataDir, 'admin.kubeconfig');
    await writeFile(`${path}.new`, adminKubeconfig(apiUrl, this.ca.certPem, issued), { mode: 0o600 });
    await rename(`${path}.new`, path);
    this.adminCertPem = issued.certPem;
  }
}

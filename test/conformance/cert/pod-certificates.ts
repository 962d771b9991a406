/** The bounds of a pod certificate's life. */
import type { Context, Rows, RowTest } from '../framework/context.js';
import { podSpec } from '../api/fixtures.js';
import { refused } from '../framework/expect.js';

const DAY_S = 86_400;

const refusesExpiration =
  (maxExpirationSeconds: number): RowTest =>
  async (t: Context) => {
    const pods = t.core('pods', await t.namespace('cert'));
    const podCertificate = {
      signerName: 'conformance.example.com/signer',
      keyType: 'ED25519',
      credentialBundlePath: 'bundle.pem',
      maxExpirationSeconds,
    };
    const volumes = [{ name: 'certificate', projected: { sources: [{ podCertificate }] } }];
    const pod = { metadata: { name: 'certified' }, spec: { ...podSpec(), volumes } };
    await refused(pods.create(pod), { status: 422, reason: 'Invalid', message: /maxExpirationSeconds/ });
  };

export const rows: Rows = {
  'podcert-max': refusesExpiration(91 * DAY_S + 1),
  'podcert-min': refusesExpiration(3_599),
};

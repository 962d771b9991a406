/**
 * The token files of projected volumes. A token is asked of the API, bound to its pod, and kept as the file it was written
 * to: that file says itself when it is due to be replaced, so a restarted agent asks for nothing, and a machine that boots
 * while no API is in reach starts its pods with what is on its disk.
 */
import type { Clock } from '../../base/clock.js';
import { SERVICEACCOUNTS } from '../../api/resource.js';
import type { TokenRequest } from '../../api/types/authentication-v1.js';
import type { Pod } from '../../api/types/core-v1.js';
import type { Client } from '../../client/client.js';

export interface TokenSource {
  /**
   * A token for the pod's service account, bound to the pod: `present` as long as it is good enough, else a new one.
   * Rejects when there is neither.
   */
  token(pod: Pod, wanted: WantedToken, present: string | undefined): Promise<string>;
}

export interface WantedToken {
  /** The API's own when absent. */
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

/** As the kubelet: a token is replaced when so much of its life is over, */
const REFRESH_SHARE = 0.8;
/** and in any case after a day. */
const MAX_AGE_SECONDS = 24 * 3600;

export class ServiceAccountTokens implements TokenSource {
  constructor(private readonly deps: { readonly client: Client; readonly clock: Clock }) {}

  async token(pod: Pod, wanted: WantedToken, present: string | undefined): Promise<string> {
    const { clock } = this.deps;
    const times = present === undefined ? undefined : timesOf(present, pod, wanted);
    if (present !== undefined && times && clock.nowMs() < refreshAtMs(times)) return present;
    try {
      return await this.request(pod, wanted);
    } catch (error) {
      if (present !== undefined && times && clock.nowMs() < times.expiresMs) return present;
      throw error;
    }
  }

  private async request({ metadata, spec }: Pod, { audience, expirationSeconds }: WantedToken): Promise<string> {
    const { namespace = 'default', name = '', uid = '' } = metadata ?? {};
    const request: TokenRequest = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: {},
      spec: {
        audiences: audience ? [audience] : [],
        expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
      },
    };
    const account = spec?.serviceAccountName || 'default';
    const answer = await this.deps.client.createSubresource(SERVICEACCOUNTS, namespace, account, 'token', request);
    const { status } = answer as TokenRequest;
    if (!status?.token) throw new Error('the API answered without a token');
    return status.token;
  }
}

interface TokenTimes {
  readonly issuedMs: number;
  /** When the token should have been replaced: for tokens whose life the API extends, before they expire. */
  readonly dueMs: number;
  readonly expiresMs: number;
}

const refreshAtMs = ({ issuedMs, dueMs }: TokenTimes) =>
  issuedMs + Math.min((dueMs - issuedMs) * REFRESH_SHARE, MAX_AGE_SECONDS * 1000);

/** What a token on disk says of its times; undefined when it is another pod's or account's, or cannot be read. */
function timesOf(token: string, { metadata, spec }: Pod, { audience }: WantedToken): TokenTimes | undefined {
  try {
    const text = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
    const claims = JSON.parse(text) as {
      readonly aud?: readonly string[];
      readonly iat?: number;
      readonly exp?: number;
      readonly 'kubernetes.io'?: {
        readonly pod?: { readonly uid?: string };
        readonly serviceaccount?: { readonly name?: string };
        readonly warnafter?: number;
      };
    };
    const own = claims['kubernetes.io'];
    const { iat, exp } = claims;
    const same =
      own?.pod?.uid === metadata?.uid &&
      own?.serviceaccount?.name === (spec?.serviceAccountName || 'default') &&
      (!audience || claims.aud?.includes(audience) === true);
    if (!same || typeof iat !== 'number' || typeof exp !== 'number') return undefined;
    return { issuedMs: iat * 1000, dueMs: (own.warnafter ?? exp) * 1000, expiresMs: exp * 1000 };
  } catch {
    return undefined;
  }
}

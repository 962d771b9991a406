/**
 * `serviceaccounts/token`: makes tokens that are bound to an account and, if asked, to a pod, a secret or a node. Nothing is
 * stored: any peer issues from its own memory.
 */
import { rfc3339, type Clock } from '../../base/clock.js';
import { uuid, type Random } from '../../base/random.js';
import { badRequest, conflict, invalid, notFound, type FieldError } from '../../api/errors.js';
import type { KubeObject } from '../../api/object.js';
import type { BoundObjectReference, TokenRequest } from '../../api/types/authentication-v1.js';
import type { Pod } from '../../api/types/core-v1.js';
import { claimsOf, type Binding } from './claims.js';
import type { ObjectLookups } from './lookups.js';
import type { TokenIssuer } from './token-issuer.js';

export interface TokenRequestsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly lookups: ObjectLookups;
  readonly issuer: TokenIssuer;
}

export interface TokenRequestsOptions {
  readonly issuer: string;
  /** The API's own audiences: those of tokens that ask for none. */
  readonly audiences: readonly string[];
  /** Longest life of a token in seconds; requests for more are shortened with a warning. No limit unless told. */
  readonly maxSeconds?: number;
  /**
   * Whether tokens of pods for the API count longer than they say, with a warning mark, as upstream's
   * `--service-account-extend-token-expiration`: for programs that read their token only once. True unless told.
   */
  readonly extended?: boolean;
}

export interface TokenAnswerObject {
  readonly object: TokenRequest;
  readonly warnings: readonly string[];
}

/** Refuses a request by throwing an `ApiError`; runs when the request has been checked and the account found. */
export type TokenAdmission = (request: TokenRequest) => void;

const SERVICE_ACCOUNTS = { group: '', resource: 'serviceaccounts' };
const TOKEN_REQUEST = { group: 'authentication.k8s.io', kind: 'TokenRequest' };
const DEFAULT_SECONDS = 3600;
const MIN_SECONDS = 600;
const MAX_SECONDS = 2 ** 32;
/** The life that the volume of the ServiceAccount admission asks for: the mark of a request that may be extended. */
export const EXTENDABLE_SECONDS = 3607;
const EXTENDED_SECONDS = 365 * 24 * 3600;

export class TokenRequests {
  constructor(
    private readonly deps: TokenRequestsDeps,
    private readonly options: TokenRequestsOptions,
  ) {}

  /** Issues for the account. `request` is taken over. Throws `ApiError`. The caller has seen to fresh lookups. */
  async create(
    namespace: string,
    name: string,
    request: TokenRequest,
    admit?: TokenAdmission,
  ): Promise<TokenAnswerObject> {
    const { clock, random, lookups, issuer } = this.deps;
    const nowMs = clock.nowMs();
    checkPlace(request, namespace, name);
    const account = lookups.get('', 'serviceaccounts', namespace, name);
    if (!account) throw notFound(SERVICE_ACCOUNTS, name);
    const spec = request.spec ?? {};
    const audiences = (spec.audiences ?? []).length > 0 ? spec.audiences : [...this.options.audiences];
    const asked = spec.expirationSeconds ?? DEFAULT_SECONDS;
    const checked: TokenRequest = {
      ...request,
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { ...request.metadata, name, namespace, creationTimestamp: rfc3339(nowMs) },
      spec: { ...spec, audiences, expirationSeconds: asked },
    };
    delete checked.status;
    const problems = durationProblems(asked);
    if (problems.length > 0) throw invalid(TOKEN_REQUEST, '', problems);
    admit?.(checked);
    const binding = bindingOf(lookups, namespace, name, spec.boundObjectRef);
    const warnings: string[] = [];
    const seconds = this.limited(asked, warnings);
    checked.spec.expirationSeconds = seconds;
    const extend = this.isExtended(seconds, audiences, binding);
    const token = await issuer.issue(
      claimsOf({
        account,
        binding,
        audiences,
        issuer: this.options.issuer,
        id: uuid(random),
        nowMs,
        lifeSeconds: extend ? EXTENDED_SECONDS : seconds,
        ...(extend ? { warnAfterSeconds: seconds } : {}),
      }),
    );
    checked.status = { expirationTimestamp: rfc3339(nowMs + seconds * 1000), token };
    return { object: checked, warnings };
  }

  private limited(asked: number, warnings: string[]): number {
    const { maxSeconds = Infinity } = this.options;
    if (asked <= maxSeconds) return asked;
    warnings.push(`requested expiration of ${asked} seconds shortened to ${maxSeconds} seconds`);
    return maxSeconds;
  }

  private isExtended(seconds: number, audiences: readonly string[], { pod }: Binding): boolean {
    return (
      this.options.extended !== false &&
      pod !== undefined &&
      seconds === EXTENDABLE_SECONDS &&
      audiences.every((audience) => this.options.audiences.includes(audience))
    );
  }
}

function checkPlace({ metadata = {} }: Partial<TokenRequest>, namespace: string, name: string): void {
  const wrong = (field: string, value: string, what: string) =>
    invalid(TOKEN_REQUEST, name, [
      {
        type: 'FieldValueInvalid',
        field: `metadata.${field}`,
        message: `Invalid value: ${JSON.stringify(value)}: must match the service account ${what} if specified`,
      },
    ]);
  if (metadata.name && metadata.name !== name) throw wrong('name', metadata.name, 'name');
  if (metadata.namespace && metadata.namespace !== namespace) throw wrong('namespace', metadata.namespace, 'namespace');
}

function durationProblems(seconds: number): FieldError[] {
  const problem = (why: string): FieldError[] => [
    { type: 'FieldValueInvalid', field: 'spec.expirationSeconds', message: `Invalid value: ${seconds}: ${why}` },
  ];
  if (seconds < MIN_SECONDS) return problem('may not specify a duration less than 10 minutes');
  return seconds > MAX_SECONDS ? problem('may not specify a duration larger than 2^32 seconds') : [];
}

function bindingOf(
  lookups: ObjectLookups,
  namespace: string,
  account: string,
  ref: BoundObjectReference | undefined,
): Binding {
  if (!ref) return {};
  const { apiVersion = '', kind = '', name = '' } = ref;
  const core = !apiVersion.includes('/');
  const find = (resource: string, at: string): KubeObject => {
    const found = lookups.get('', resource, at, name);
    if (!found) throw notFound({ group: '', resource }, name);
    const { uid = '' } = found.metadata;
    if (ref.uid && ref.uid !== uid) {
      throw conflict(
        { group: '', resource: kind },
        name,
        `the UID in the bound object reference (${ref.uid}) does not match the UID in record. ` +
          'The object might have been deleted and then recreated',
      );
    }
    return found;
  };
  switch (core ? kind : '') {
    case 'Pod': {
      const pod = find('pods', namespace) as Pod;
      if (pod.spec?.serviceAccountName !== account) {
        throw badRequest(
          `cannot bind token for serviceaccount "${account}" to pod running with different serviceaccount name.`,
        );
      }
      const { nodeName } = pod.spec;
      if (!nodeName) return { pod };
      const uid = lookups.get('', 'nodes', '', nodeName)?.metadata.uid;
      return { pod, node: { name: nodeName, ...(uid === undefined ? {} : { uid }) } };
    }
    case 'Secret':
      return { secret: find('secrets', namespace) };
    case 'Node': {
      const { metadata } = find('nodes', '');
      return { node: { name, uid: metadata.uid ?? '' } };
    }
    default: {
      const [group, version] = core ? ['', apiVersion] : apiVersion.split('/');
      throw badRequest(`cannot bind token to object of type ${group}/${version}, Kind=${kind}`);
    }
  }
}

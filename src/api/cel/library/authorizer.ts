/** `authorizer`: whether the user of a request, or a service account, may do something else. */
import type { FunctionTable } from '../functions.js';
import { CelError, CelOpaque, type Value } from '../values.js';

export interface AuthorizerCheck {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** Set for a check of a path. */
  readonly path?: string;
  /** The check is about this service account and not about the user of the request. */
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
}

/** Answers for the request's user. Synchronous. */
export type AuthorizerFunction = (check: AuthorizerCheck) => { readonly allowed: boolean; readonly reason: string };

type Attributes = Omit<AuthorizerCheck, 'verb'>;
const EMPTY: Attributes = { group: '', resource: '', subresource: '', namespace: '', name: '' };

abstract class Part extends CelOpaque {
  constructor(
    readonly ask: AuthorizerFunction,
    readonly attributes: Attributes,
  ) {
    super();
  }
  equals(other: CelOpaque): boolean {
    return other === this;
  }
}

/** The variable `authorizer`. */
export class AuthorizerValue extends Part {
  readonly typeName = 'kubernetes.authorization.Authorizer';
  constructor(ask: AuthorizerFunction, attributes: Attributes = EMPTY) {
    super(ask, attributes);
  }
}
class PathCheck extends Part {
  readonly typeName = 'kubernetes.authorization.PathCheck';
}
class GroupCheck extends Part {
  readonly typeName = 'kubernetes.authorization.GroupCheck';
}
/** Also the variable `authorizer.requestResource`. */
export class ResourceCheck extends Part {
  readonly typeName = 'kubernetes.authorization.ResourceCheck';
}
class Decision extends CelOpaque {
  readonly typeName = 'kubernetes.authorization.Decision';
  constructor(
    readonly allowed: boolean,
    readonly reason: string,
  ) {
    super();
  }
  equals(other: CelOpaque): boolean {
    return other === this;
  }
}

const part = (value: Value): Part => value as Part;
const decision = (value: Value): Decision => value as Decision;

function decide(value: Value, verb: Value): Decision {
  const { ask, attributes } = part(value);
  const { allowed, reason } = ask({ ...attributes, verb: verb as string });
  return new Decision(allowed, reason);
}

const resource = (value: Value, change: Partial<Attributes>): ResourceCheck =>
  new ResourceCheck(part(value).ask, { ...part(value).attributes, ...change });

const A = 'kubernetes.authorization.Authorizer';
const P = 'kubernetes.authorization.PathCheck';
const G = 'kubernetes.authorization.GroupCheck';
const R = 'kubernetes.authorization.ResourceCheck';
const D = 'kubernetes.authorization.Decision';

export const authorizerLibrary: FunctionTable = {
  [`${A}.path(string): ${P}`]: ([a, path]) => {
    if (path === '') throw new CelError('path must not be empty');
    return new PathCheck(part(a).ask, { ...part(a).attributes, path: path as string });
  },
  [`${A}.serviceAccount(string, string): ${A}`]: ([a, namespace, name]) =>
    new AuthorizerValue(part(a).ask, {
      ...EMPTY,
      serviceAccount: { namespace: namespace as string, name: name as string },
    }),
  [`${A}.group(string): ${G}`]: ([a, group]) =>
    new GroupCheck(part(a).ask, { ...part(a).attributes, group: group as string }),
  [`${G}.resource(string): ${R}`]: ([a, name]) => resource(a, { resource: name as string }),
  [`${R}.subresource(string): ${R}`]: ([a, name]) => resource(a, { subresource: name as string }),
  [`${R}.namespace(string): ${R}`]: ([a, name]) => resource(a, { namespace: name as string }),
  [`${R}.name(string): ${R}`]: ([a, name]) => resource(a, { name: name as string }),
  [`${R}.check(string): ${D}`]: ([a, verb], evaluation) => (evaluation.spend(350_000), decide(a, verb)),
  [`${P}.check(string): ${D}`]: ([a, verb], evaluation) => (evaluation.spend(350_000), decide(a, verb)),
  [`${D}.allowed(): bool`]: ([a]) => decision(a).allowed,
  [`${D}.reason(): string`]: ([a]) => decision(a).reason,
  [`${D}.errored(): bool`]: () => false,
  [`${D}.error(): string`]: () => '',
};

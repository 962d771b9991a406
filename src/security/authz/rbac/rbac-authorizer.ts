/** Role-based access control: allows what a role grants that is bound to the user, one of its groups or its service account. */
import type { PolicyRule } from '../../../api/types/rbac-v1.js';
import {
  NO_OPINION,
  type AuthorizationAttributes,
  type AuthorizationDecision,
  type Authorizer,
  type ResolvedRules,
  type Subject,
} from '../authorizer.js';
import { aggregated, missingRole, type RbacSource } from './grants.js';
import { ruleKeys, rulesAllow } from './rules.js';

export class RbacAuthorizer implements Authorizer {
  constructor(private readonly source: RbacSource) {}

  authorize(attributes: AuthorizationAttributes): AuthorizationDecision {
    const { source } = this;
    const keys = ruleKeys(attributes);
    let decision: AuthorizationDecision = NO_OPINION;
    let missing: string[] | undefined;
    source.visitGrants(attributes.user, attributes.namespace, (grant) => {
      const rules = source.rulesOf(grant.roleRef, grant.namespace);
      if (rules === undefined) (missing ??= []).push(missingRole(grant.roleRef));
      else if (rulesAllow(rules, attributes, keys)) {
        decision = grant.allowed;
        return false;
      }
      return true;
    });
    if (decision !== NO_OPINION || missing === undefined) return decision;
    return { decision: 'no-opinion', reason: `RBAC: ${aggregated(missing)}` };
  }

  rulesFor(user: Subject, namespace: string): ResolvedRules {
    return rulesFor(this.source, user, namespace);
  }
}

/** Every rule that the user holds in the namespace, and which of its bindings name a role that does not exist. */
export function rulesFor(source: RbacSource, user: Subject, namespace: string): ResolvedRules {
  const rules: PolicyRule[] = [];
  const errors: string[] = [];
  source.visitGrants(user, namespace, (grant) => {
    const granted = source.rulesOf(grant.roleRef, grant.namespace);
    if (granted === undefined) errors.push(missingRole(grant.roleRef));
    else rules.push(...granted.rules);
    return true;
  });
  return { rules, errors, incomplete: false };
}

/** Who makes a request (`authentication.k8s.io/v1 UserInfo`). */
export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export const ANONYMOUS_USER = 'system:anonymous';
export const AUTHENTICATED_GROUP = 'system:authenticated';
export const UNAUTHENTICATED_GROUP = 'system:unauthenticated';
export const MASTERS_GROUP = 'system:masters';
export const NODES_GROUP = 'system:nodes';

/** Nobody in particular: allowed what the authorizer allows to everybody. */
export const ANONYMOUS: UserInfo = Object.freeze({ name: ANONYMOUS_USER, groups: [UNAUTHENTICATED_GROUP] });

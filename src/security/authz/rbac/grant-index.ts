/**
 * Roles and bindings by whom they are granted to, so that a decision looks at the caller's own grants only. Fed by the
 * store of this peer (every peer decides for itself): as late as its replica, which is a moment.
 */
import { keyOf, type KubeObject } from '../../../api/object.js';
import type { ClusterRole, RoleRef } from '../../../api/types/rbac-v1.js';
import type { Subject as User } from '../authorizer.js';
import type { FollowedObjects } from '../followed.js';
import { grantsOf, type Grant, type RbacSource } from './grants.js';
import { RBAC_GROUP, ruleSet, type RuleSet } from './rules.js';

/** The grants of one scope (the cluster, or one namespace): subject -> binding's name -> grant. */
class GrantTable {
  private readonly users = new Map<string, Map<string, Grant>>();
  private readonly groups = new Map<string, Map<string, Grant>>();
  private readonly bindings = new Map<string, readonly Grant[]>();

  get size(): number {
    return this.bindings.size;
  }

  set(name: string, grants: readonly Grant[]): void {
    this.delete(name);
    this.bindings.set(name, grants);
    for (const grant of grants) {
      const table = this.tableOf(grant);
      let own = table.get(grant.subject.name);
      if (!own) table.set(grant.subject.name, (own = new Map()));
      own.set(name, grant);
    }
  }

  delete(name: string): void {
    for (const grant of this.bindings.get(name) ?? []) {
      const table = this.tableOf(grant);
      const own = table.get(grant.subject.name);
      own?.delete(name);
      if (own?.size === 0) table.delete(grant.subject.name);
    }
    this.bindings.delete(name);
  }

  /** False when the visitor wants no more. */
  visit(user: User, visit: (grant: Grant) => boolean): boolean {
    const own = this.users.get(user.name);
    if (own && !visitAll(own, visit)) return false;
    for (const group of user.groups) {
      const shared = this.groups.get(group);
      if (shared && !visitAll(shared, visit)) return false;
    }
    return true;
  }

  private tableOf({ subject }: Grant) {
    return subject.kind === 'user' ? this.users : this.groups;
  }
}

function visitAll(grants: ReadonlyMap<string, Grant>, visit: (grant: Grant) => boolean): boolean {
  for (const grant of grants.values()) if (!visit(grant)) return false;
  return true;
}

interface Steps {
  readonly clear: () => unknown;
  readonly put: (object: KubeObject) => unknown;
  readonly drop: (object: KubeObject) => unknown;
}

const followed = (resource: string, { clear, put, drop }: Steps): FollowedObjects => ({
  group: RBAC_GROUP,
  resource,
  reset(objects) {
    clear();
    for (const object of objects) put(object);
  },
  changed: ({ type, object }) => void (type === 'DELETED' ? drop : put)(object),
});

const rulesIn = (object: KubeObject) => ruleSet((object as ClusterRole).rules);
const nameOf = ({ metadata }: KubeObject) => metadata.name ?? '';
const namespaceOf = ({ metadata }: KubeObject) => metadata.namespace ?? '';

export class GrantIndex implements RbacSource {
  private readonly clusterRoles = new Map<string, RuleSet>();
  /** By `namespace/name`. */
  private readonly roles = new Map<string, RuleSet>();
  private cluster = new GrantTable();
  private readonly namespaces = new Map<string, GrantTable>();

  /** What must be followed for the index to be current. */
  readonly followed: readonly FollowedObjects[] = [
    followed('clusterroles', {
      clear: () => this.clusterRoles.clear(),
      put: (role) => this.clusterRoles.set(nameOf(role), rulesIn(role)),
      drop: (role) => this.clusterRoles.delete(nameOf(role)),
    }),
    followed('roles', {
      clear: () => this.roles.clear(),
      put: (role) => this.roles.set(keyOf(role), rulesIn(role)),
      drop: (role) => this.roles.delete(keyOf(role)),
    }),
    followed('clusterrolebindings', {
      clear: () => (this.cluster = new GrantTable()),
      put: (binding) => this.putBinding(binding),
      drop: (binding) => this.dropBinding(binding),
    }),
    followed('rolebindings', {
      clear: () => this.namespaces.clear(),
      put: (binding) => this.putBinding(binding),
      drop: (binding) => this.dropBinding(binding),
    }),
  ];

  /** No ClusterRoleBinding is known: the cluster's policy has not been written, or has not arrived here. */
  get isEmpty(): boolean {
    return this.cluster.size === 0;
  }

  visitGrants(user: User, namespace: string, visit: (grant: Grant) => boolean): void {
    if (!this.cluster.visit(user, visit) || namespace === '') return;
    this.namespaces.get(namespace)?.visit(user, visit);
  }

  rulesOf({ kind, name }: Readonly<RoleRef>, namespace: string): RuleSet | undefined {
    if (kind === 'ClusterRole') return this.clusterRoles.get(name);
    return kind === 'Role' ? this.roles.get(`${namespace}/${name}`) : undefined;
  }

  private putBinding(binding: KubeObject): void {
    const namespace = namespaceOf(binding);
    let table = namespace === '' ? this.cluster : this.namespaces.get(namespace);
    if (!table) this.namespaces.set(namespace, (table = new GrantTable()));
    table.set(nameOf(binding), grantsOf(binding));
  }

  private dropBinding(binding: KubeObject): void {
    const namespace = namespaceOf(binding);
    const table = namespace === '' ? this.cluster : this.namespaces.get(namespace);
    table?.delete(nameOf(binding));
    if (table?.size === 0 && namespace !== '') this.namespaces.delete(namespace);
  }
}

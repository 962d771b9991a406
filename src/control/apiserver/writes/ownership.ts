/** Who owns which fields, on the way through a write: `metadata.managedFields` of creates and updates by any client. */
import { rfc3339 } from '../../../base/clock.js';
import { sameJson } from '../../../base/same-json.js';
import { isReset, NO_MANAGERS, parseManagers, type Manager, type Managers } from '../../../api/apply/managers.js';
import { trackUpdate, type Versions, type WrittenPaths } from '../../../api/apply/ownership.js';
import { typeOfNode, type OwnedType } from '../../../api/apply/owned-type.js';
import { writtenThrough } from '../../../api/apply/written-paths.js';
import type { KubeObject } from '../../../api/object.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { KindRegistry, ResourceInfo } from '../../../api/schema/registry.js';
import type { ManagedFieldsEntry } from '../../../api/types/meta-v1.js';
import type { WriteContext } from './context.js';

/** The versions that a resource is served in. */
class ServedVersions implements Versions {
  readonly changing: boolean;
  private readonly own: string;

  constructor(
    private readonly registry: KindRegistry,
    private readonly info: ResourceInfo,
    private readonly subresource: string,
  ) {
    this.changing = info.custom;
    this.own = apiVersionOf(info);
  }

  typeOf(apiVersion: string): OwnedType | undefined {
    const info = this.infoOf(apiVersion);
    return info && typeOfNode(info.schema);
  }

  written(apiVersion: string): WrittenPaths {
    return writtenThrough(this.infoOf(apiVersion) ?? this.info, this.subresource);
  }

  convert<T extends object>(object: T, from: string, to: string): T {
    const [source, target] = [this.infoOf(from), this.infoOf(to)];
    if (source === target) return object;
    const stored = source?.view?.toStorage(object as unknown as KubeObject) ?? (object as unknown as KubeObject);
    return (target?.view?.fromStorage(stored) ?? stored) as unknown as T;
  }

  private infoOf(apiVersion: string): ResourceInfo | undefined {
    if (apiVersion === this.own) return this.info;
    const slash = apiVersion.indexOf('/');
    const [group, version] = slash < 0 ? ['', apiVersion] : [apiVersion.slice(0, slash), apiVersion.slice(slash + 1)];
    return this.registry.find(group, version, this.info.resource);
  }
}

export const versionsOf = ({ deps, info, request }: WriteContext): Versions =>
  new ServedVersions(deps.registry, info, request.subresource);

/** The request's writer. */
export const managerOf = ({ request, info }: WriteContext, operation: Manager['operation']): Manager => ({
  manager: request.fieldManager === '' ? 'unknown' : request.fieldManager,
  operation,
  apiVersion: apiVersionOf(info),
  subresource: request.subresource,
});

export const managersOf = (object: KubeObject): Managers => object.metadata.managedFields ?? NO_MANAGERS;

/** Entries that the client sent count where they differ from the present ones; invalid ones are passed over, as upstream does. */
function startingFrom(sent: Managers | undefined, present: Managers): Managers {
  if (sent === undefined || sent.length === 0 || sameJson(sent, present)) return present;
  if (isReset(sent)) return NO_MANAGERS;
  return parseManagers(sent) ?? present;
}

/** The entries of a new object (none when a component of the cluster makes it), after decoding and defaulting; what the server fills in later has no owner. */
export function managersOfNew(context: WriteContext, object: KubeObject): Managers {
  const { transaction, request } = context;
  if (request.unowned === true) return NO_MANAGERS;
  const sent = startingFrom(object.metadata.managedFields, NO_MANAGERS);
  const now = rfc3339(transaction.nowMs);
  return trackUpdate(sent, managerOf(context, 'Update'), {}, object, now, versionsOf(context));
}

/**
 * The entries after an update, by comparing the decoded and defaulted object with the present one: before the strategy
 * and admission have their say. Objects that nobody's ownership is known of (made before there was any, or reset) are left so.
 */
export function managersAfter(context: WriteContext, next: KubeObject, present: KubeObject): Managers {
  const { request, transaction } = context;
  const sent = request.subresource === '' ? next.metadata.managedFields : undefined;
  const managers = startingFrom(sent, managersOf(present));
  if (managers.length === 0) return managers;
  const now = rfc3339(transaction.nowMs);
  return trackUpdate(managers, managerOf(context, 'Update'), present, next, now, versionsOf(context));
}

export function setManagers(object: KubeObject, managers: Managers): void {
  if (managers.length === 0) delete object.metadata.managedFields;
  else object.metadata.managedFields = managers as ManagedFieldsEntry[];
}

/**
 * A transaction for writes of CustomResourceDefinitions: whatever puts one, its status is settled in the same write, so that it
 * is established everywhere its creation is seen; what frees names gives them to definitions that wait for them.
 */
import type { KubeObject } from '../../../api/object.js';
import type { ResourceInfo } from '../../../api/schema/registry.js';
import {
  asDefinition,
  DEFINITIONS,
  isDefinition,
  withCleanup,
  withStatus,
} from '../../../api/customresources/status.js';
import type { CustomResourceDefinition } from '../../../api/types/apiextensions-v1.js';
import type { ObjectKey, WriteTransaction } from '../../../store/object-store.js';

export const definitionKey = (name: string): ObjectKey => ({
  group: DEFINITIONS.group,
  resource: DEFINITIONS.resource,
  namespace: '',
  name,
});

const asObject = (definition: CustomResourceDefinition) => definition as unknown as KubeObject;

export class DefinitionTransaction implements WriteTransaction {
  constructor(private readonly inner: WriteTransaction) {}

  get nowMs(): number {
    return this.inner.nowMs;
  }

  get(key: ObjectKey): KubeObject | undefined {
    return this.inner.get(key);
  }

  list(group: string, resource: string, namespace?: string): readonly KubeObject[] {
    return this.inner.list(group, resource, namespace);
  }

  put(key: ObjectKey, object: KubeObject): KubeObject {
    if (!isDefinition(key)) return this.inner.put(key, object);
    const before = this.inner.get(key);
    if (before === undefined) this.clear(asDefinition(object));
    const stored = this.inner.put(key, asObject(withStatus(asDefinition(object), this.all(), this.nowMs)));
    if (before !== undefined) this.giveFreedNames(asDefinition(stored));
    return stored;
  }

  delete(key: ObjectKey): KubeObject | undefined {
    const last = this.inner.delete(key);
    if (last !== undefined && isDefinition(key)) this.giveFreedNames(asDefinition(last));
    return last;
  }

  /**
   * When parts of the cluster merge, one may have deleted a definition of which the other created objects. Nobody sees those any
   * more; deletion wins over them, too, and a new definition does not bring them back.
   */
  private clear({ spec }: CustomResourceDefinition): void {
    for (const { metadata } of this.inner.list(spec.group, spec.names.plural)) {
      const { namespace = '', name = '' } = metadata;
      this.inner.delete({ group: spec.group, resource: spec.names.plural, namespace, name });
    }
  }

  private all(): CustomResourceDefinition[] {
    return this.inner.list(DEFINITIONS.group, DEFINITIONS.resource).map(asDefinition);
  }

  /** Definitions of the same group whose names were refused so far. */
  private giveFreedNames({ metadata, spec }: CustomResourceDefinition): void {
    for (const other of this.all()) {
      if (other.spec.group !== spec.group || other.metadata.name === metadata.name) continue;
      const refused = other.status?.conditions?.some(
        ({ type, status }) => type === 'NamesAccepted' && status === 'False',
      );
      if (refused !== true) continue;
      const next = withStatus(other, this.all(), this.nowMs);
      if (JSON.stringify(next.status) === JSON.stringify(other.status)) continue;
      this.inner.put(definitionKey(other.metadata.name ?? ''), asObject(next));
    }
  }
}

/** A definition whose deletion begins stays while it has instances: the cleanup controller removes them first. */
export function heldByInstances(
  info: ResourceInfo,
  transaction: Pick<WriteTransaction, 'list' | 'nowMs'>,
  marked: KubeObject,
): KubeObject {
  if (!isDefinition(info)) return marked;
  const definition = asDefinition(marked);
  const { group, names } = definition.spec;
  if (transaction.list(group, names.plural).length === 0) return marked;
  if (definition.status?.conditions?.some(({ type }) => type === 'Terminating') === true) return marked;
  return asObject(withCleanup(definition, transaction.nowMs));
}

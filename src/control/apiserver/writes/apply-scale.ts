/**
 * Server-side apply through `scale`: a Scale has one field that its object has too, so the entries that own the object's
 * replicas stand for owners of the Scale's, and back.
 */
import { difference, EMPTY_SET, hasPath, setOfPath, forEachPath, type FieldSet } from '../../../api/apply/field-set.js';
import { entryOf, setOf, sortEntries, type Managers, withSet } from '../../../api/apply/managers.js';
import { compareObjects } from '../../../api/apply/comparison.js';
import type { Versions } from '../../../api/apply/ownership.js';
import { typeOfNode } from '../../../api/apply/owned-type.js';
import type { KubeObject } from '../../../api/object.js';
import { apiVersionOf } from '../../../api/resource.js';
import type { KindInfo, ResourceInfo } from '../../../api/schema/registry.js';
import { fromScale, toScale } from '../../../api/strategy/scale.js';
import type { Scale } from '../../../api/types/autoscaling-v1.js';
import type { ManagedFieldsEntry } from '../../../api/types/meta-v1.js';
import { applyAs } from './apply.js';
import type { WriteContext } from './context.js';
import { managerOf, managersOf } from './ownership.js';

const SCALE_REPLICAS = setOfPath(['f:spec', 'f:replicas']);

/** Where the object keeps its replicas: what changes when the Scale's number does. */
function replicasOf(info: ResourceInfo, present: KubeObject, scale: Scale): FieldSet {
  const other: Scale = { ...scale, metadata: {}, spec: { replicas: (scale.spec?.replicas ?? 0) + 1 } };
  const after = fromScale(info, present, other);
  const { changed } = compareObjects(typeOfNode(info.schema), present, after, (name) => name === 'metadata');
  return changed;
}

const owns = (entry: ManagedFieldsEntry, replicas: FieldSet): boolean => {
  let found = false;
  forEachPath(replicas, (path) => (found ||= hasPath(setOf(entry), path)));
  return found;
};

const isSame = (a: ManagedFieldsEntry, b: ManagedFieldsEntry) =>
  a.manager === b.manager && a.operation === b.operation && (a.subresource ?? '') === (b.subresource ?? '');

/** The Scale after the apply, with the entries of the object it stands for. */
export function applyToScale(
  context: WriteContext,
  kind: KindInfo,
  config: KubeObject,
  present: KubeObject,
): { readonly object: KubeObject; readonly managers: Managers } {
  const { info } = context;
  const live = toScale(info, present);
  const replicas = replicasOf(info, present, live);
  const entries = managersOf(present);
  const scaleVersion = apiVersionOf(kind);
  const seen = entries
    .filter((entry) => owns(entry, replicas))
    .map((entry) => withSet({ ...entry, apiVersion: scaleVersion }, SCALE_REPLICAS));
  const versions: Versions = {
    typeOf: () => typeOfNode(kind.schema),
    convert: (object) => object,
    written: () => ({ allBut: EMPTY_SET }),
    changing: false,
  };
  const by = { ...managerOf(context, 'Apply'), apiVersion: scaleVersion };
  const { object, managers } = applyAs(context, kind, { live, config, managers: seen, by, versions });
  return { object, managers: backOn(entries, managers, replicas, apiVersionOf(info)) };
}

function backOn(entries: Managers, scaled: Managers, replicas: FieldSet, apiVersion: string): Managers {
  const kept: ManagedFieldsEntry[] = [];
  for (const entry of entries) {
    if (!owns(entry, replicas) || scaled.some((one) => isSame(one, entry))) {
      kept.push(entry);
      continue;
    }
    const set = difference(setOf(entry), replicas);
    if (Object.keys(set).length > 0) kept.push(withSet(entry, set));
  }
  for (const { manager = '', operation, subresource = '', time } of scaled) {
    if (operation !== 'Apply' || kept.some((one) => isSame(one, { manager, operation, subresource }))) continue;
    kept.push(entryOf({ manager, operation, apiVersion, subresource }, replicas, time));
  }
  return sortEntries(kept);
}

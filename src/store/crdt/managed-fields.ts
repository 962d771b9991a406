/**
 * Merges who owns what (`metadata.managedFields`) after a split. The list is one value: no document keeps it, and writing it
 * does not count as writing the metadata, or every status would win over the other side's labels.
 *
 * Every entry of either side is kept; of one writer's entries on both sides the paths are united and the later time stands.
 * Commutative and idempotent. What was given up on one side only comes back: an entry that claims more than it should
 * costs at most a conflict that a forced apply resolves, one that claims less would let others' fields be pruned.
 */
import { union } from '../../api/apply/field-set.js';
import { setOf, sortEntries, withSet, type Managers } from '../../api/apply/managers.js';
import type { ManagedFieldsEntry, ObjectMeta } from '../../api/types/meta-v1.js';

const writerOf = ({ manager, operation, apiVersion, subresource }: ManagedFieldsEntry) =>
  JSON.stringify([manager, operation, operation === 'Apply' ? '' : apiVersion, subresource ?? '']);

function united(a: ManagedFieldsEntry, b: ManagedFieldsEntry): ManagedFieldsEntry {
  const rank = ({ time = '', apiVersion = '' }: ManagedFieldsEntry) => `${time} ${apiVersion}`;
  const later = rank(a) >= rank(b) ? a : b;
  // An applier's paths of another version mean other fields: the later ones stand.
  if (a.apiVersion !== b.apiVersion) return later;
  return withSet(later, union(setOf(a), setOf(b)));
}

/** The merged list as metadata fields: empty when neither side has one. */
export function mergedOwners(ours: ObjectMeta, theirs: ObjectMeta): Pick<ObjectMeta, 'managedFields'> {
  const [mine, other]: [Managers, Managers] = [ours.managedFields ?? [], theirs.managedFields ?? []];
  if (mine.length === 0 && other.length === 0) return {};
  const entries = new Map<string, ManagedFieldsEntry>();
  for (const entry of [...mine, ...other]) {
    const writer = writerOf(entry);
    const known = entries.get(writer);
    entries.set(writer, known === undefined ? entry : united(known, entry));
  }
  return { managedFields: sortEntries([...entries.values()]) };
}

/**
 * Which kind a request names. Built-in kinds and those established here come from the registry; on the sequencer a custom
 * resource's kind comes from its definition in the transaction, which may be newer than what has been applied.
 */
import { kindsOf } from '../../../api/customresources/kinds.js';
import { asDefinition, isDefinition } from '../../../api/customresources/status.js';
import type { CustomResourceRules } from '../../../api/customresources/rules.js';
import { ApiError } from '../../../api/errors.js';
import type { KindRegistry, ResourceInfo } from '../../../api/schema/registry.js';
import type { WriteTransaction } from '../../../store/object-store.js';
import { ViewedTransaction } from '../writes/viewed-transaction.js';
import type { WriteRequest } from '../writes/write-request.js';
import { RemoteTransaction } from './remote-transaction.js';
import { definitionKey, DefinitionTransaction } from './definition-transaction.js';

export function resolveKind(
  registry: KindRegistry,
  transaction: WriteTransaction,
  group: string,
  version: string,
  resource: string,
): ResourceInfo | undefined {
  const info = registry.find(group, version, resource);
  if (info?.custom === false) return info;
  const definition = transaction.get(definitionKey(`${resource}.${group}`));
  if (definition === undefined) return undefined;
  return kindsOf(registry, asDefinition(definition)).find((kind) => kind.version === version);
}

/** What a definition says about every write: a deprecated version warns, a definition that goes takes no new objects. */
export function announceCustom(
  { deprecation, terminating }: CustomResourceRules,
  { verb, subresource }: WriteRequest,
  warnings: string[],
): void {
  if (deprecation !== undefined) warnings.push(deprecation);
  if (verb !== 'create' || subresource !== '' || !terminating) return;
  const why = 'create not allowed while custom resource definition is terminating';
  throw new ApiError(405, 'MethodNotAllowed', why, {});
}

/** The transaction as a write of this kind sees it. */
export function transactionFor(
  info: ResourceInfo,
  transaction: WriteTransaction,
  { verb, conversions }: Pick<WriteRequest, 'verb' | 'conversions'>,
): WriteTransaction {
  const { view } = info;
  if (view?.remote !== undefined) {
    // Deleting is about metadata alone, which is the same in all versions.
    if (verb === 'delete' || verb === 'deletecollection') return transaction;
    return new RemoteTransaction(transaction, info, view, view.remote, conversions ?? []);
  }
  if (view !== undefined) return new ViewedTransaction(transaction, info, view);
  return isDefinition(info) ? new DefinitionTransaction(transaction) : transaction;
}

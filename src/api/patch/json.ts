/** JSON Patch (RFC 6902) with the limits and answers of Kubernetes. */
import { applyPatch, Pointer, type Operation } from 'rfc6902';
import { ApiError, badRequest } from '../errors.js';

/** Upstream's limit of operations in one patch. */
export const MAX_JSON_PATCH_OPERATIONS = 10_000;

/** Upstream's limit of what `copy` operations may add, in bytes of JSON: copies of copies grow without bound. */
export const MAX_JSON_PATCH_COPY_BYTES = 3 * 1024 * 1024;

const OPERATIONS = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test']);
const WITH_VALUE = new Set(['add', 'replace', 'test']);
const WITH_FROM = new Set(['move', 'copy']);

/** What upstream answers when a patch cannot be applied, a failed `test` included. */
const rejected = (cause: unknown) =>
  new ApiError(422, 'Invalid', 'the server rejected our request due to an error in our request', {}, { cause });

/** A JSON Pointer (RFC 6901) that does not reach for a prototype. */
const isUsable = (pointer: string) =>
  (pointer === '' || pointer.startsWith('/')) && !/\/(?:__proto__|constructor)(?:\/|$)/.test(pointer);

function checked(patch: unknown): Operation[] {
  if (!Array.isArray(patch)) {
    throw badRequest('error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch');
  }
  if (patch.length > MAX_JSON_PATCH_OPERATIONS) {
    throw new ApiError(
      413,
      'RequestEntityTooLarge',
      `The allowed maximum operations in a JSON patch is ${MAX_JSON_PATCH_OPERATIONS}, got ${patch.length}`,
    );
  }
  for (const entry of patch as unknown[]) {
    if (typeof entry !== 'object' || entry === null)
      throw badRequest('error decoding patch: an operation is not an object');
    const operation = entry as Record<string, unknown>;
    const op = String(operation['op']);
    if (!OPERATIONS.has(op)) throw rejected(new Error(`Unexpected kind: ${op}`));
    if (typeof operation['path'] !== 'string') throw rejected(new Error('operation without a path'));
    if (WITH_VALUE.has(op) && !Object.hasOwn(operation, 'value')) throw rejected(new Error(`${op} without a value`));
    if (WITH_FROM.has(op) && typeof operation['from'] !== 'string') throw rejected(new Error(`${op} without from`));
    for (const pointer of [operation['path'], operation['from']]) {
      if (typeof pointer === 'string' && !isUsable(pointer)) throw rejected(new Error(`pointer ${pointer}`));
    }
  }
  return patch as Operation[];
}

/**
 * Applies a JSON patch to a copy of `current`. All or nothing. Throws 400 (not a patch), 413 (too many operations) or
 * 422 (cannot be applied, a failed `test`).
 */
export function applyJsonPatch<T>(current: T, patch: unknown): T {
  const operations = checked(patch);
  const result = structuredClone(current);
  let copied = 0;
  for (const operation of structuredClone(operations)) {
    if (operation.op === 'copy') {
      copied += JSON.stringify(valueAt(result, operation.from))?.length ?? 0;
      if (copied > MAX_JSON_PATCH_COPY_BYTES) {
        throw rejected(new Error(`copies of more than ${MAX_JSON_PATCH_COPY_BYTES} bytes`));
      }
    }
    const [error] = applied(result, operation);
    if (error) throw rejected(error);
  }
  return result;
}

function applied(target: unknown, operation: Operation) {
  try {
    return applyPatch(target, [operation]);
  } catch (error) {
    throw rejected(error);
  }
}

function valueAt(target: unknown, pointer: string): unknown {
  try {
    return Pointer.fromJSON(pointer).get(target);
  } catch (error) {
    throw rejected(error);
  }
}

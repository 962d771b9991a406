/** The query parameters of writes that name their maker: `CreateOptions`, `UpdateOptions` and `PatchOptions`. */
import { invalid, type FieldError } from '../../../api/errors.js';
import type { PatchKind } from '../writes/write-request.js';
import { isTrue } from './request-info.js';

/** Bytes, as upstream. */
const MAX_MANAGER_BYTES = 128;
const NOT_PRINTABLE = /[\p{C}\u2028\u2029]/u;

export interface Maker {
  /** Empty only for an apply that names none: the write path refuses it. */
  readonly fieldManager: string;
  /** Server-side apply takes over what others own. */
  readonly force: boolean;
}

/** Upstream names the manager after the program in User-Agent. */
function programOf(userAgent: string | undefined): string {
  let name = '';
  let bytes = 0;
  for (const char of (userAgent ?? '').split('/', 1)[0] ?? '') {
    if (NOT_PRINTABLE.test(char)) continue;
    bytes += Buffer.byteLength(char);
    if (bytes > MAX_MANAGER_BYTES) break;
    name += char;
  }
  return name === '' ? 'unknown' : name;
}

/** Throws the 422 of the options' kind for a manager's name or a `force` that cannot be. */
export function makerOf(
  verb: string,
  patch: PatchKind | undefined,
  query: URLSearchParams,
  userAgent: string | undefined,
): Maker {
  const errors: FieldError[] = [];
  const given = query.get('fieldManager') ?? '';
  const force = query.get('force');
  if (force !== null && patch !== undefined && patch !== 'apply') {
    errors.push({
      type: 'FieldValueForbidden',
      field: 'force',
      message: 'Forbidden: may not be specified for non-apply patch',
    });
  }
  if (Buffer.byteLength(given) > MAX_MANAGER_BYTES) {
    errors.push({
      type: 'FieldValueTooLong',
      field: 'fieldManager',
      message: `Too long: may not be more than ${MAX_MANAGER_BYTES} bytes`,
    });
  }
  if (NOT_PRINTABLE.test(given)) {
    errors.push({
      type: 'FieldValueInvalid',
      field: 'fieldManager',
      message: `Invalid value: ${JSON.stringify(given)}: should only contain printable characters`,
    });
  }
  if (errors.length > 0) {
    const kind = verb === 'create' ? 'CreateOptions' : verb === 'update' ? 'UpdateOptions' : 'PatchOptions';
    throw invalid({ group: 'meta.k8s.io', kind }, '', errors);
  }
  const fieldManager = given !== '' || patch === 'apply' ? given : programOf(userAgent);
  return { fieldManager, force: isTrue(force) };
}

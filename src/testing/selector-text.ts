/** Label and field selectors in their text form, for {@link MemoryClient}: small, strict enough for tests. */
import { badRequest } from '../api/errors.js';
import type { KubeObject } from '../api/object.js';

type Match = (object: KubeObject) => boolean;
type Labels = Readonly<Record<string, string>>;

/** `a=b,c!=d,e,!f,g in (h,i),j notin (k)`. Throws 400 for anything else. */
export function labelText(text: string | undefined): Match {
  const terms = (text ?? '').split(/,(?![^(]*\))/).flatMap((term) => (term.trim() ? [labelTerm(term.trim())] : []));
  return (object) => terms.every((term) => term(object.metadata.labels ?? {}));
}

function labelTerm(term: string): (labels: Labels) => boolean {
  const set = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(term);
  if (set) {
    const [, key = '', operator, list = ''] = set;
    const values = new Set(list.split(',').map((value) => value.trim()));
    return (labels) => {
      const value = labels[key];
      return operator === 'in' ? value !== undefined && values.has(value) : value === undefined || !values.has(value);
    };
  }
  const equality = /^([^!=\s]+)\s*(==|=|!=)\s*(\S*)$/.exec(term);
  if (equality) {
    const [, key = '', operator, value] = equality;
    return (labels) => (operator === '!=' ? labels[key] !== value : labels[key] === value);
  }
  if (/^![^!=\s]+$/.test(term)) return (labels) => labels[term.slice(1)] === undefined;
  if (/^[^!=\s]+$/.test(term)) return (labels) => labels[term] !== undefined;
  throw badRequest(`unable to parse requirement: ${term}`);
}

/** `metadata.name=x,status.phase!=Failed`, on any path; an absent field is the empty string. */
export function fieldText(text: string | undefined): Match {
  const terms = (text ?? '').split(',').flatMap((term) => {
    if (!term.trim()) return [];
    const parsed = /^([^!=]+)(==|=|!=)(.*)$/.exec(term.trim());
    if (!parsed) throw badRequest(`invalid field selector: ${term}`);
    const [, path = '', operator, value = ''] = parsed;
    return [{ path: path.split('.'), equal: operator !== '!=', value }];
  });
  return (object) =>
    terms.every(({ path, equal, value }) => {
      const found = path.reduce<unknown>((at, part) => (isRecord(at) ? at[part] : undefined), object);
      const text =
        typeof found === 'string' ? found : found === undefined || found === null ? '' : JSON.stringify(found);
      return (text === value) === equal;
    });
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

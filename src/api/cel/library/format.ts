/** `format.named()` and the named formats: the checks behind Kubernetes' own names. */
import {
  dns1035Label,
  dns1123Label,
  dns1123Subdomain,
  labelValue,
  maskTrailingDash,
  qualifiedName,
} from '../../names.js';
import type { FunctionTable, Implementation } from '../functions.js';
import { CelList, CelOpaque, CelOptional, parseTimestamp } from '../values.js';

type Check = (text: string) => string[];

class FormatValue extends CelOpaque {
  readonly typeName = 'kubernetes.NamedFormat';
  constructor(
    readonly name: string,
    readonly check: Check,
  ) {
    super();
  }
  equals(other: CelOpaque): boolean {
    return other instanceof FormatValue && other.name === this.name;
  }
}

const uri = (text: string): string[] => {
  try {
    return text.startsWith('/') || new URL(text).href !== '' ? [] : ['invalid URI'];
  } catch {
    return [`parse "${text}": invalid URI for request`];
  }
};
const matching =
  (pattern: RegExp, message: string): Check =>
  (text) =>
    pattern.test(text) ? [] : [message];

const FORMATS: Readonly<Record<string, Check>> = {
  dns1123Label,
  dns1123Subdomain,
  dns1035Label,
  dns1123LabelPrefix: (text) => dns1123Label(maskTrailingDash(text)),
  dns1123SubdomainPrefix: (text) => dns1123Subdomain(maskTrailingDash(text)),
  dns1035LabelPrefix: (text) => dns1035Label(maskTrailingDash(text)),
  qualifiedName,
  labelValue,
  uri,
  uuid: matching(
    /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i,
    'does not match the UUID format',
  ),
  byte: matching(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, 'invalid base64'),
  date: (text) => (/^\d{4}-\d{2}-\d{2}$/.test(text) && parseTimestamp(text) ? [] : ['invalid date']),
  datetime: (text) => (text.length > 10 && parseTimestamp(text) ? [] : ['invalid datetime']),
};

const table: Record<string, Implementation> = {
  '@format.named(string): optional<kubernetes.NamedFormat>': ([name]) => {
    const check = Object.hasOwn(FORMATS, name as string) ? FORMATS[name as string] : undefined;
    return check === undefined ? CelOptional.NONE : new CelOptional(new FormatValue(name as string, check));
  },
  'kubernetes.NamedFormat.validate(string): optional<list<string>>': ([format, text]) => {
    const errors = (format as FormatValue).check(text as string);
    return errors.length === 0 ? CelOptional.NONE : new CelOptional(new CelList(errors));
  },
};
for (const [name, check] of Object.entries(FORMATS)) {
  const value = new FormatValue(name, check);
  table[`@format.${name}(): kubernetes.NamedFormat`] = () => value;
}

export const formatLibrary: FunctionTable = table;

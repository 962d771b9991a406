/**
 * Image references: the grammar and the defaults of the OCI distribution project, which Docker and Kubernetes share.
 * Pure.
 */

export interface ImageReference {
  /** Registry host with its port; `docker.io` when the reference names none. */
  readonly domain: string;
  /** Path on the registry; Docker Hub's official images are below `library/`. */
  readonly path: string;
  /** `latest` when the reference has neither tag nor digest. */
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

export type ParsedReference =
  { readonly ok: true; readonly reference: ImageReference } | { readonly ok: false; readonly reason: string };

const DEFAULT_DOMAIN = 'docker.io';
const LEGACY_DOMAIN = 'index.docker.io';
const MAX_NAME_LENGTH = 255;
const DOMAIN =
  /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?$|^\[[a-fA-F0-9:]+\](?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const IDENTIFIER = /^[a-f0-9]{64}$/;

const INVALID = 'invalid reference format';

/** `busybox` → docker.io, library/busybox, latest. */
export function parseReference(text: string): ParsedReference {
  if (IDENTIFIER.test(text)) {
    const reason = `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`;
    return { ok: false, reason };
  }
  const { name, tag, digest } = split(text);
  const { domain, path } = splitDomain(name);
  if (path.toLowerCase() !== path) {
    return { ok: false, reason: `${INVALID}: repository name (${path}) must be lowercase` };
  }
  const valid =
    DOMAIN.test(domain) &&
    path.split('/').every((part) => COMPONENT.test(part)) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest));
  if (!valid) return { ok: false, reason: INVALID };
  if (domain.length + 1 + path.length > MAX_NAME_LENGTH) {
    return { ok: false, reason: `repository name must not be more than ${MAX_NAME_LENGTH} characters` };
  }
  const effectiveTag = tag ?? (digest === undefined ? 'latest' : undefined);
  return { ok: true, reference: { domain, path, tag: effectiveTag, digest } };
}

/** The one full spelling of a reference: `docker.io/library/busybox:latest`. */
export function formatReference(reference: ImageReference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${reference.domain}/${reference.path}${tag}${digest}`;
}

/** The full spelling of a text; the text itself when it is no reference. */
export function normalizeReference(text: string): string {
  const parsed = parseReference(text);
  return parsed.ok ? formatReference(parsed.reference) : text;
}

/** As written, with `:latest` where neither tag nor digest is given: what the kubelet hands to the runtime. */
export function withDefaultTag(text: string): string {
  const { tag, digest } = split(text);
  return tag === undefined && digest === undefined ? `${text}:latest` : text;
}

function split(text: string): { name: string; tag: string | undefined; digest: string | undefined } {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const rest = at < 0 ? text : text.slice(0, at);
  const colon = rest.lastIndexOf(':');
  // A colon before the last slash belongs to the registry's port.
  if (colon < 0 || colon < rest.lastIndexOf('/')) return { name: rest, tag: undefined, digest };
  return { name: rest.slice(0, colon), tag: rest.slice(colon + 1), digest };
}

function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isDomain = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first);
  const domain = !isDomain || first === LEGACY_DOMAIN ? DEFAULT_DOMAIN : first;
  const path = isDomain ? name.slice(slash + 1) : name;
  return { domain, path: domain === DEFAULT_DOMAIN && !path.includes('/') ? `library/${path}` : path };
}

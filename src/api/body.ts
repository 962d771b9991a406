/**
 * Parses request bodies: JSON and YAML with duplicate keys found (JSON.parse hides them), and protobuf. Limits on size
 * and depth hold before anything walks the value. Every failure is a 400 (or a 413 past the size limit).
 */
import { parseDocument } from 'yaml';
import { badRequest, tooLarge, unsupportedMediaType } from './errors.js';
import { decodeProtobufBody } from './protobuf/decode.js';
import { nestsDeeperThan } from './yaml-depth.js';

export interface BodyLimits {
  /** Bytes; upstream's limit is 3 MiB. */
  readonly maxBytes: number;
  /** Nested objects and arrays. */
  readonly maxDepth: number;
}

export const DEFAULT_BODY_LIMITS: BodyLimits = Object.freeze({ maxBytes: 3 * 1024 * 1024, maxDepth: 100 });

export interface ParsedBody {
  readonly value: unknown;
  /** `duplicate field "spec.x"`: for `decodeObject`, which rejects or warns by `fieldValidation`. */
  readonly duplicates: readonly string[];
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function textOf(bytes: Uint8Array, limits: BodyLimits): string {
  if (bytes.byteLength > limits.maxBytes) throw tooLarge(limits.maxBytes);
  try {
    return utf8.decode(bytes);
  } catch {
    throw badRequest('the request body is not valid UTF-8');
  }
}

const why = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Upstream reports no more than this many duplicates. */
const MAX_DUPLICATES = 100;

interface Frame {
  /** Undefined for arrays. */
  readonly keys: Set<string> | undefined;
  /** The key or index that is being read. */
  at: string | number;
}

const pathOf = (frames: readonly Frame[], key: string) => {
  let text = '';
  for (const { at } of frames.slice(0, -1)) text += typeof at === 'number' ? `[${at}]` : text === '' ? at : `.${at}`;
  return text === '' ? key : `${text}.${key}`;
};

/** The index of the quote that ends the string starting at `start`. */
function stringEnd(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  for (;;) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
}

/** Scans **valid** JSON for repeated keys and for depth. */
function scanJson(text: string, maxDepth: number): string[] {
  const duplicates: string[] = [];
  const frames: Frame[] = [];
  let frame: Frame | undefined;
  let wantKey = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x7b: // {
      case 0x5b: {
        const isObject = text.charCodeAt(i) === 0x7b;
        frame = { keys: isObject ? new Set() : undefined, at: isObject ? '' : 0 };
        if (frames.push(frame) > maxDepth)
          throw badRequest(`the request body is nested deeper than ${maxDepth} levels`);
        wantKey = isObject;
        break;
      }
      case 0x7d: // }
      case 0x5d:
        frames.pop();
        frame = frames.at(-1);
        wantKey = false;
        break;
      case 0x2c: // ,
        if (frame?.keys !== undefined) wantKey = true;
        else if (frame !== undefined) frame.at = Number(frame.at) + 1;
        break;
      case 0x22: {
        const start = i;
        i = stringEnd(text, start);
        if (!wantKey || frame?.keys === undefined) break;
        wantKey = false;
        const raw = text.slice(start + 1, i);
        const key = raw.includes('\\') ? (JSON.parse(text.slice(start, i + 1)) as string) : raw;
        frame.at = key;
        if (frame.keys.has(key) && duplicates.length < MAX_DUPLICATES) {
          duplicates.push(`duplicate field "${pathOf(frames, key)}"`);
        }
        frame.keys.add(key);
        break;
      }
      default:
    }
  }
  return duplicates;
}

/** Parses a JSON body. */
export function parseJsonBody(body: Uint8Array | string, limits: BodyLimits = DEFAULT_BODY_LIMITS): ParsedBody {
  const text = typeof body === 'string' ? body : textOf(body, limits);
  if (text.length > limits.maxBytes) throw tooLarge(limits.maxBytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badRequest(`couldn't get version/kind; json parse error: ${why(error)}`);
  }
  return { value, duplicates: scanJson(text, limits.maxDepth) };
}

/** Whether a YAML value can be JSON; throws a 400 otherwise. */
function checkJson(value: unknown, depth: number): void {
  if (depth < 0) throw badRequest('the request body is nested too deeply');
  if (typeof value === 'number' && !Number.isFinite(value)) throw badRequest(`json: unsupported value: ${value}`);
  if (typeof value !== 'object' || value === null) return;
  const plain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
  if (!plain) throw badRequest('yaml: the document has values that JSON cannot hold');
  for (const item of Object.values(value)) checkJson(item, depth - 1);
}

/**
 * Parses a YAML body (one document) by the rules of kubectl: YAML 1.1 booleans and octals; timestamps and sexagesimals
 * stay strings. Aliases are limited, since they multiply.
 */
export function parseYamlBody(body: Uint8Array | string, limits: BodyLimits = DEFAULT_BODY_LIMITS): ParsedBody {
  const text = typeof body === 'string' ? body : textOf(body, limits);
  if (text.length > limits.maxBytes) throw tooLarge(limits.maxBytes);
  // JSON is YAML too, is what kubectl sends as YAML, and is read many times faster as what it is.
  if (text.startsWith('{')) {
    try {
      return parseJsonBody(text, limits);
    } catch {
      // It may be a mapping in braces.
    }
  }
  if (nestsDeeperThan(text, limits.maxDepth)) {
    throw badRequest(`the request body is nested deeper than ${limits.maxDepth} levels`);
  }
  const document = parseDocument(text, {
    version: '1.1',
    uniqueKeys: true,
    logLevel: 'silent',
    customTags: (tags) =>
      tags.filter(
        (tag) =>
          typeof tag === 'string' ||
          (tag.tag !== 'tag:yaml.org,2002:timestamp' && !('format' in tag && tag.format === 'TIME')),
      ),
  });
  const duplicates: string[] = [];
  for (const error of document.errors) {
    if (error.code !== 'DUPLICATE_KEY') throw badRequest(`error converting YAML to JSON: yaml: ${error.message}`);
    const line = error.linePos?.[0].line;
    const key = /^[^:]*/.exec(text.slice(error.pos[0]))?.[0].trim() ?? '';
    duplicates.push(`yaml: unmarshal errors:\n  line ${line ?? 0}: key ${JSON.stringify(key)} already set in map`);
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw badRequest(`error converting YAML to JSON: yaml: ${why(error)}`);
  }
  checkJson(value, limits.maxDepth);
  return { value, duplicates };
}

/** `application/json; charset=utf-8` -> `application/json`. */
export const mediaTypeOf = (contentType: string | undefined): string =>
  (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

export const PROTOBUF_MEDIA_TYPE = 'application/vnd.kubernetes.protobuf';

/**
 * Parses the body of a write by its content type. An absent type is JSON, as upstream takes it. Throws 400, 413 or 415.
 * An empty body is undefined.
 */
export function parseBody(
  bytes: Uint8Array,
  contentType: string | undefined,
  limits: BodyLimits = DEFAULT_BODY_LIMITS,
): ParsedBody {
  if (bytes.byteLength > limits.maxBytes) throw tooLarge(limits.maxBytes);
  if (bytes.byteLength === 0) return { value: undefined, duplicates: [] };
  const mediaType = mediaTypeOf(contentType);
  switch (mediaType) {
    case '':
    case '*/*':
    case 'application/json':
      return parseJsonBody(bytes, limits);
    case 'application/yaml':
    case 'application/x-yaml':
    case 'text/yaml':
      return parseYamlBody(bytes, limits);
    case PROTOBUF_MEDIA_TYPE:
      return { value: decodeProtobufBody(bytes), duplicates: [] };
    default:
      throw unsupportedMediaType(
        `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, ${PROTOBUF_MEDIA_TYPE}`,
      );
  }
}

/** skein's own paths on the API's port: joining (open, guarded by the token), status, tokens, images, histories of objects. */
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { badRequest, methodNotAllowed, notFoundPath, tooLarge } from '../api/errors.js';
import type { ApiRequest, ApiResponse } from '../control/apiserver/http/exchange.js';
import type { PathExtension } from '../control/apiserver/http/server.js';
import type { JoinAnswer } from '../security/ca/join-server.js';
import { sendBackup, type BackupDeps } from './backup-endpoint.js';
import { answerConflicts, CONFLICTS_PATH, conflictsTarget, type ConflictsDeps } from './conflicts-endpoint.js';
import { answerHistory, HISTORY_PREFIX, historyTarget, type HistoryDeps } from './history-endpoint.js';
import { describeChaos, startChaos, type ChaosDeps } from './chaos.js';
import { CA_PATH, JOIN_PATH, MAX_JOIN_BODY_BYTES } from '../security/ca/join-protocol.js';

const ROOT = '/skein/v1/';
const MAX_TOKEN_BODY_BYTES = 64 * 1024;
const MAX_CHAOS_BODY_BYTES = 4 * 1024;

export interface SkeinEndpointsDeps {
  readonly caPem: string;
  join(body: Uint8Array): Promise<JoinAnswer>;
  status(): unknown;
  readonly tokens: {
    create(ttlSeconds: number): Promise<{ readonly token: string; readonly id: string; readonly expires: string }>;
    list(): Promise<readonly { readonly id: string; readonly expires: string }[]>;
    revoke(id: string): Promise<boolean>;
  };
  /** Strikes a peer off the register; throws what the API answers. */
  removePeer(name: string, force: boolean): Promise<unknown>;
  /** Loads an image archive and returns the tags it brought. */
  importImage(archive: Readable): Promise<readonly string[]>;
  readonly history: HistoryDeps;
  readonly conflicts: ConflictsDeps;
  readonly backup: BackupDeps;
  /** What `skein chaos` may do to this peer. */
  readonly chaos: ChaosDeps;
}

export function createSkeinEndpoints(deps: SkeinEndpointsDeps): PathExtension {
  return {
    async handleOpen(request, response, { pathname }) {
      if (pathname === CA_PATH && request.method === 'GET') {
        response.writeHead(200, { 'Content-Type': 'application/x-pem-file' }).end(deps.caPem);
        return true;
      }
      if (pathname === JOIN_PATH && request.method === 'POST') {
        const { status, body } = await deps.join(await readBody(request, MAX_JOIN_BODY_BYTES));
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(body);
        return true;
      }
      return false;
    },
    standsFor(method, { pathname }) {
      const path = method === 'GET' ? (historyTarget(pathname) ?? conflictsTarget(pathname)) : undefined;
      return path && { path, verb: path.name === '' ? 'list' : 'get' };
    },
    async handle(request, response, url) {
      const { pathname, searchParams } = url;
      if (!pathname.startsWith(ROOT)) return false;
      if (request.method === 'GET' && pathname.startsWith(HISTORY_PREFIX)) {
        const body = JSON.stringify(await answerHistory(deps.history, url));
        response.writeHead(200, { 'Content-Type': 'application/json' }).end(body);
        return true;
      }
      if (request.method === 'GET' && (pathname === CONFLICTS_PATH || conflictsTarget(pathname))) {
        const body = JSON.stringify(await answerConflicts(deps.conflicts, url));
        response.writeHead(200, { 'Content-Type': 'application/json' }).end(body);
        return true;
      }
      const [resource = '', name = ''] = pathname.slice(ROOT.length).split('/');
      const force = searchParams.get('force') === 'true';
      await serve(deps, request, response, { resource, name, force });
      return true;
    },
  };
}

async function serve(
  deps: SkeinEndpointsDeps,
  request: ApiRequest,
  response: ApiResponse,
  { resource, name, force }: { readonly resource: string; readonly name: string; readonly force: boolean },
): Promise<void> {
  const answer = (body: unknown, status = 200) =>
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  switch (`${request.method} ${resource}`) {
    case 'GET status':
      answer(deps.status());
      return;
    case 'GET tokens':
      answer({ items: await deps.tokens.list() });
      return;
    case 'POST tokens':
      answer(await deps.tokens.create(ttlOf(await readBody(request, MAX_TOKEN_BODY_BYTES))), 201);
      return;
    case 'DELETE tokens':
      if (!(await deps.tokens.revoke(name))) throw notFoundPath();
      answer({ id: name });
      return;
    case 'DELETE peers':
      answer(await deps.removePeer(name, force));
      return;
    case 'POST images':
      answer({ tags: await deps.importImage(request) });
      return;
    case 'POST backup':
      if (name !== '' && name !== 'keys') throw notFoundPath();
      await sendBackup(deps.backup, response, name === 'keys');
      return;
    case 'GET chaos':
      answer(describeChaos(deps.chaos));
      return;
    case 'POST chaos':
      answer(startChaos(deps.chaos, await readBody(request, MAX_CHAOS_BODY_BYTES)), 202);
      return;
    default:
      throw ['status', 'chaos', 'tokens', 'peers', 'images', 'backup'].includes(resource)
        ? methodNotAllowed()
        : notFoundPath();
  }
}

const MAX_TTL_SECONDS = 365 * 24 * 3600;

function ttlOf(body: Uint8Array): number {
  let ttl: unknown;
  try {
    ttl = (JSON.parse(Buffer.from(body).toString()) as { ttlSeconds?: unknown }).ttlSeconds;
  } catch {
    throw badRequest('the body must be JSON with ttlSeconds');
  }
  if (typeof ttl !== 'number' || !Number.isFinite(ttl) || ttl <= 0 || ttl > MAX_TTL_SECONDS) {
    throw badRequest(`ttlSeconds must be between 1 and ${MAX_TTL_SECONDS}`);
  }
  return ttl;
}

async function readBody(request: ApiRequest, limitBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let total = 0;
  await pipeline(request, async (source: AsyncIterable<Buffer>) => {
    for await (const part of source) {
      total += part.length;
      if (total > limitBytes) throw tooLarge(limitBytes);
      parts.push(part);
    }
  });
  return Buffer.concat(parts);
}

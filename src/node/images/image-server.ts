/**
 * Gives this node's images to its peers: two read-only request handlers for the node's HTTPS server, which has
 * authenticated the caller as a node of the cluster before it calls here.
 *
 *   GET /skein/images?ref=R       200 {"id","sizeBytes"} or 404
 *   GET /skein/images/blob?ref=R  200 and a `docker save` archive, 404, or 503 while too many are being sent
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { errorText, type Logger } from '../../base/log.js';
import { BLOB_PATH, STATUS_PATH, type ImageStatus } from './peer-images.js';
import { parseReference } from './reference.js';
import type { Runtime } from '../runtime/runtime.js';

export interface ImageServerOptions {
  /** Archives sent at the same time; 4 unless told. Each costs the engine a process worth of compression and disk. */
  readonly maxStreams?: number;
}

type ImageSource = Pick<Runtime, 'imageStatus' | 'saveImage'>;

export class ImageServer {
  private streams = 0;
  private readonly maxStreams: number;

  constructor(
    private readonly runtime: ImageSource,
    private readonly log: Logger,
    options: ImageServerOptions = {},
  ) {
    this.maxStreams = options.maxStreams ?? 4;
  }

  /** Answers the request if it is one of ours; false when it is not. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const url = new URL(request.url ?? '/', 'https://node');
    if (url.pathname !== STATUS_PATH && url.pathname !== BLOB_PATH) return false;
    const reference = url.searchParams.get('ref') ?? '';
    try {
      if (request.method !== 'GET') refuse(response, 405, 'only GET');
      else if (!parseReference(reference).ok) refuse(response, 400, 'ref is no image reference');
      else if (url.pathname === STATUS_PATH) await this.sendStatus(reference, response);
      else await this.sendArchive(reference, response);
    } catch (error) {
      this.log.warn('an image could not be given to a peer', { reference, error: errorText(error) });
      if (response.headersSent) response.destroy();
      else refuse(response, 500, errorText(error));
    }
    return true;
  }

  private async sendStatus(reference: string, response: ServerResponse): Promise<void> {
    const image = await this.runtime.imageStatus(reference);
    if (!image) {
      refuse(response, 404, 'no such image');
      return;
    }
    const status: ImageStatus = { id: image.id, sizeBytes: image.sizeBytes };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status));
  }

  private async sendArchive(reference: string, response: ServerResponse): Promise<void> {
    if (this.streams >= this.maxStreams) {
      response.setHeader('retry-after', '1');
      refuse(response, 503, 'too many images are being sent');
      return;
    }
    this.streams++;
    try {
      if (!(await this.runtime.imageStatus(reference))) {
        refuse(response, 404, 'no such image');
        return;
      }
      const archive = await this.runtime.saveImage(reference);
      response.writeHead(200, { 'content-type': 'application/x-tar' });
      await pipeline(archive, response);
    } finally {
      this.streams--;
    }
  }
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${message}\n`);
}

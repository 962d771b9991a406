/**
 * Images that other nodes have. A node without an image asks its peers before a registry, so that a cluster needs no
 * registry and an image crosses the outside link once.
 */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { errorText, type Logger } from '../../base/log.js';
import type { Random } from '../../base/random.js';

/** An image that at least one peer has. */
export interface PeerImage {
  readonly reference: string;
  readonly id: string;
  readonly sizeBytes: number;
  /** The peers that have it, in the order to ask them. */
  readonly peers: readonly string[];
}

export interface PeerImages {
  /** Who has an image; undefined when no peer in reach does. Does not throw for peers out of reach. */
  find(reference: string): Promise<PeerImage | undefined>;
  /** Its `docker save` archive. Throws when no peer sends it. */
  open(source: PeerImage): Promise<Readable>;
}

export interface PeerImageClient {
  /** Names of the peers to ask, without this node; whatever {@link request} understands. */
  peers(): readonly string[];
  /** One GET to a peer's node server, authenticated. Rejects when the peer does not answer in time. */
  request(peer: string, path: string): Promise<IncomingMessage>;
}

export const STATUS_PATH = '/skein/images';
export const BLOB_PATH = '/skein/images/blob';

/** Peers asked for one image at most: a sample is enough, and a question costs each of them an engine call. */
const MAX_PEERS_ASKED = 16;
/** Longest status answer accepted, in bytes. */
const MAX_STATUS_BYTES = 64 * 1024;

/** {@link PeerImages} over the node servers of the peers ({@link ImageServer} is the other side). */
export class HttpPeerImages implements PeerImages {
  constructor(
    private readonly client: PeerImageClient,
    private readonly random: Random,
    private readonly log: Logger,
  ) {}

  async find(reference: string): Promise<PeerImage | undefined> {
    // A random order spreads the load of a rollout over all that have the image.
    const asked = shuffled(this.client.peers(), this.random).slice(0, MAX_PEERS_ASKED);
    const answers = await Promise.all(asked.map((peer) => this.ask(peer, reference)));
    const holders = answers.filter((answer) => answer !== undefined);
    const first = holders[0];
    if (!first) return undefined;
    const peers = holders.filter((holder) => holder.id === first.id).map((holder) => holder.peer);
    return { reference, id: first.id, sizeBytes: first.sizeBytes, peers };
  }

  async open(source: PeerImage): Promise<Readable> {
    const failures: string[] = [];
    for (const peer of source.peers) {
      try {
        const response = await this.client.request(peer, `${BLOB_PATH}?ref=${encodeURIComponent(source.reference)}`);
        if (response.statusCode === 200) return response;
        response.resume();
        failures.push(`${peer}: status ${response.statusCode}`);
      } catch (error) {
        failures.push(`${peer}: ${errorText(error)}`);
      }
    }
    throw new Error(`no peer sent image "${source.reference}": ${failures.join('; ')}`);
  }

  private async ask(peer: string, reference: string): Promise<(ImageStatus & { peer: string }) | undefined> {
    try {
      const response = await this.client.request(peer, `${STATUS_PATH}?ref=${encodeURIComponent(reference)}`);
      if (response.statusCode !== 200) {
        response.resume();
        return undefined;
      }
      const status = decodeStatus(await readText(response));
      return status && { ...status, peer };
    } catch (error) {
      this.log.debug('peer could not be asked for an image', { peer, reference, error: errorText(error) });
      return undefined;
    }
  }
}

/** What {@link STATUS_PATH} answers. */
export interface ImageStatus {
  readonly id: string;
  readonly sizeBytes: number;
}

function decodeStatus(text: string): ImageStatus | undefined {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || !('id' in value) || !('sizeBytes' in value)) return undefined;
  return typeof value.id === 'string' && typeof value.sizeBytes === 'number'
    ? { id: value.id, sizeBytes: value.sizeBytes }
    : undefined;
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > MAX_STATUS_BYTES) response.destroy(new Error('answer is too long'));
  });
  await once(response, 'end');
  return text;
}

function shuffled<T>(values: readonly T[], random: Random): T[] {
  return values
    .map((value) => ({ value, rank: random.next() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ value }) => value);
}

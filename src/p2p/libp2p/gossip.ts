/**
 * Gossip on top of gossipsub, with what it lacks: an envelope with a nonce (it drops repeated payloads) and the sender's
 * id (as the sender claims it: every peer that gets this far is admitted), duplicate removal across both ways of
 * delivery, and direct delivery over streams where gossipsub has no way yet or any more (it loses early messages in small
 * clusters, and everything beyond its message limit, without a word).
 */
import type { GossipSub } from '@libp2p/gossipsub';
import type { Random } from '../../base/random.js';
import type { PeerId } from '../transport.js';

/** The channel of envelopes that are delivered directly. */
export const GOSSIP_CHANNEL = 'skein.gossip';
const NONCE_BYTES = 12;
/** Larger messages go over streams at once: gossipsub's own limit is about four times this. */
const MAX_GOSSIP_BYTES = 1024 * 1024;

export interface GossipOptions {
  /** How many envelopes are remembered to drop duplicates. */
  readonly maxSeen: number;
  /** Up to this many peers every one is served directly when gossipsub has not reached it. */
  readonly directUpTo: number;
}

type Handler = (from: PeerId | undefined, message: Uint8Array) => void;

export class Gossip {
  private readonly handlers = new Map<string, Set<Handler>>();
  private readonly seen = new Set<string>();
  private pubsub: GossipSub | undefined;

  constructor(
    private readonly self: PeerId,
    private readonly random: Random,
    private readonly options: GossipOptions,
    private readonly direct: {
      peers(): readonly PeerId[];
      send(to: PeerId, envelope: Uint8Array): void;
      failed(error: unknown): void;
    },
  ) {}

  /** Begins to use gossipsub, for the topics that have handlers already, too. */
  attach(pubsub: GossipSub): void {
    this.pubsub = pubsub;
    pubsub.addEventListener('message', (event) => this.receive(event.detail.data));
    for (const topic of this.handlers.keys()) pubsub.subscribe(topic);
  }

  detach(): void {
    this.pubsub = undefined;
  }

  on(topic: string, handler: Handler): () => void {
    const present = this.handlers.get(topic);
    if (present) present.add(handler);
    else {
      this.handlers.set(topic, new Set([handler]));
      this.pubsub?.subscribe(topic);
    }
    return () => this.handlers.get(topic)?.delete(handler);
  }

  publish(topic: string, message: Uint8Array): void {
    const { pubsub } = this;
    if (!pubsub) return;
    const nonce = this.random.bytes(NONCE_BYTES);
    this.remember(Buffer.from(nonce).toString('latin1'));
    const envelope = encode(nonce, this.self, topic, message);
    if (envelope.length > MAX_GOSSIP_BYTES) {
      this.sendTo(this.direct.peers(), envelope);
      return;
    }
    pubsub.publish(topic, envelope).then(
      ({ recipients }) => this.fillIn(envelope, new Set(recipients.map((peer) => peer.toString()))),
      (error: unknown) => {
        this.direct.failed(error);
        this.fillIn(envelope, new Set());
      },
    );
  }

  /** An envelope from gossipsub or from a stream. Malformed ones are dropped. */
  receive(envelope: Uint8Array): void {
    const decoded = decode(envelope);
    if (!decoded || !this.remember(decoded.nonce)) return;
    for (const handler of this.handlers.get(decoded.topic) ?? []) handler(decoded.from, decoded.message);
  }

  private fillIn(envelope: Uint8Array, reached: ReadonlySet<string>): void {
    const peers = this.direct.peers();
    if (reached.size > 0 && peers.length > this.options.directUpTo) return;
    const missed = peers.filter((peer) => !reached.has(peer));
    this.sendTo(missed.slice(0, this.options.directUpTo), envelope);
  }

  private sendTo(peers: readonly PeerId[], envelope: Uint8Array): void {
    for (const peer of peers) this.direct.send(peer, envelope);
  }

  /** False when it was known already. */
  private remember(nonce: string): boolean {
    if (this.seen.has(nonce)) return false;
    this.seen.add(nonce);
    if (this.seen.size > this.options.maxSeen) {
      for (const oldest of this.seen) {
        this.seen.delete(oldest);
        break;
      }
    }
    return true;
  }
}

interface Envelope {
  readonly nonce: string;
  readonly from: PeerId;
  readonly topic: string;
  readonly message: Uint8Array;
}

/** Layout: nonce, then sender and topic each with a length byte before it, then the message. */
function encode(nonce: Uint8Array, from: string, topic: string, message: Uint8Array): Uint8Array {
  const [sender, name] = [Buffer.from(from), Buffer.from(topic)];
  if (sender.length > 255 || name.length > 255) throw new Error('the name of a topic may have 255 bytes');
  return Buffer.concat([nonce, Uint8Array.of(sender.length), sender, Uint8Array.of(name.length), name, message]);
}

function decode(envelope: Uint8Array): Envelope | undefined {
  const bytes = Buffer.from(envelope.buffer, envelope.byteOffset, envelope.length);
  const fromEnd = NONCE_BYTES + 1 + (bytes[NONCE_BYTES] ?? 0);
  const topicEnd = fromEnd + 1 + (bytes[fromEnd] ?? 0);
  if (topicEnd > bytes.length) return undefined;
  return {
    nonce: bytes.toString('latin1', 0, NONCE_BYTES),
    from: bytes.toString('utf8', NONCE_BYTES + 1, fromEnd) as PeerId,
    topic: bytes.toString('utf8', fromEnd + 1, topicEnd),
    message: new Uint8Array(bytes.buffer, bytes.byteOffset + topicEnd, bytes.length - topicEnd),
  };
}

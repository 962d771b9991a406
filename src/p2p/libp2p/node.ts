/** The libp2p node with the settings that were measured to hold at 3 to 20 peers. */
import '../../base/polyfill.js';
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys';
import { gossipsub, type GossipSub } from '@libp2p/gossipsub';
import { identify, type Identify } from '@libp2p/identify';
import type { Libp2p, ServiceMap } from '@libp2p/interface';
import { mdns } from '@libp2p/mdns';
import { noise } from '@libp2p/noise';
import { ping, type Ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { tcpMultiaddr, type HostPort } from './address.js';
import { batchedSends } from './batched-sends.js';
import { discoveryTag, handshakePrologue } from './identity.js';

export interface NodeServices extends ServiceMap {
  readonly identify: Identify;
  readonly ping: Ping;
  readonly pubsub: GossipSub;
}

export type Node = Libp2p<NodeServices>;

export interface NodeOptions {
  readonly privateKey: Uint8Array;
  readonly clusterSecret: Uint8Array;
  readonly listen: HostPort;
  readonly mdns: boolean;
  readonly maxConnections: number;
  readonly dialTimeoutMs: number;
  /** Who is not dialled. Who dials is heard out and told why it is refused. */
  readonly denied: (peerId: string) => boolean;
}

/** Makes the node, not started. */
export function createNode(options: NodeOptions): Promise<Node> {
  return createLibp2p<NodeServices>({
    start: false,
    privateKey: privateKeyFromProtobuf(options.privateKey),
    addresses: { listen: [tcpMultiaddr(options.listen).toString()] },
    transports: [tcp()],
    connectionEncrypters: [batchedSends(noise({ prologueBytes: handshakePrologue(options.clusterSecret) }))],
    // A stream may run 4 MiB ahead: 32 ms of a gigabit link, so bulk data never delays heartbeats much.
    streamMuxers: [yamux({ enableKeepAlive: false, streamOptions: { maxStreamWindowSize: 4 * 1024 * 1024 } })],
    peerDiscovery: options.mdns ? [mdns({ serviceTag: `_${discoveryTag(options.clusterSecret)}._udp.local` })] : [],
    connectionManager: {
      maxConnections: options.maxConnections,
      inboundConnectionThreshold: 100,
      maxIncomingPendingConnections: 100,
      dialTimeout: options.dialTimeoutMs,
      addressDialTimeout: options.dialTimeoutMs / 2,
      inboundUpgradeTimeout: 3000,
      // Redialling is ours: libp2p's own gives up after five tries.
      reconnectRetries: 0,
    },
    // A fast monitor ends healthy connections of a busy peer; membership watches instead.
    connectionMonitor: { pingInterval: 30_000, abortConnectionOnPingFailure: false },
    connectionGater: {
      denyDialMultiaddr: () => false,
      denyOutboundEncryptedConnection: (peerId) => options.denied(peerId.toString()),
    },
    services: {
      identify: identify(),
      ping: ping(),
      pubsub: gossipsub({
        globalSignaturePolicy: 'StrictNoSign',
        allowPublishToZeroTopicPeers: true,
        floodPublish: true,
        D: 4,
        Dlo: 3,
        Dhi: 6,
        Dout: 1,
        Dlazy: 6,
        heartbeatInterval: 500,
        pruneBackoff: 5000,
        idontwantMinDataSize: 4096,
        // Many peers may share an address; scored by it, they would not gossip at all.
        scoreParams: { IPColocationFactorWeight: 0 },
        maxOutboundBufferSize: 64 * 1024 * 1024,
      }),
    },
  });
}

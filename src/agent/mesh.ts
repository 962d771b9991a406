/** This peer's place in the mesh: transport, membership, and the exchange of addresses. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, type Logger } from '../base/log.js';
import type { Service } from '../base/lifecycle.js';
import { VERSION } from '../control/apiserver/http/path-handler.js';
import type { AddressBook, AddressBookEntry } from '../p2p/libp2p/admission.js';
import { Libp2pTransport } from '../p2p/libp2p/transport.js';
import { Membership } from '../p2p/membership.js';
import { PeerExchange } from '../p2p/peer-exchange.js';
import type { PeerId, Transport } from '../p2p/transport.js';
import { judgeHello, membershipHello } from '../security/ca/founding.js';
import type { AgentBase } from './base.js';
import type { AgentConfig } from './config.js';
import type { Gate } from './gate.js';
import { Isolation } from './isolation.js';
import type { Enrolment } from './identity.js';
import type { PeerAttributes } from './liveness.js';

/** How this peer meets the others. */
export interface Meeting {
  readonly transport: Transport;
  readonly membership: Membership;
}

export interface Mesh extends Meeting {
  readonly transport: Libp2pTransport;
  /** In the order to start them: who listens comes before what speaks. */
  readonly services: readonly Service[];
  /** Cuts this peer off from all others for a time. */
  isolate(seconds: number): void;
}

export function createMesh(
  base: AgentBase,
  config: AgentConfig,
  address: string,
  enrolment: Enrolment,
  gate: Gate,
): Mesh {
  const { identity, peers } = enrolment;
  const isolation = new Isolation(base);
  const transport = new Libp2pTransport(base, {
    privateKey: identity.peerKey,
    name: identity.nodeName,
    listen: { host: address, port: config.p2pPort },
    clusterSecret: identity.clusterSecret,
    mdns: config.mdns,
    book: fileAddressBook(join(config.dataDir, 'peers.json'), base.log),
    admission: {
      hello: (self) => membershipHello(identity, self.addresses, gate.own),
      admit: (peerId, hello) => {
        const verdict = judgeHello(identity, peerId, hello, base.clock.nowMs());
        if (!verdict.ok) return verdict;
        const { nodeName: name, addresses, formats } = verdict;
        const peer = { id: peerId as PeerId, name, addresses, formats };
        const reason = gate.refusal(verdict) ?? gate.denied(peer);
        return reason === undefined ? { ok: true, peer } : { ok: false, name, reason };
      },
      denied: (peer) => isolation.reason ?? gate.denied(peer),
    },
  });
  for (const { id, addresses } of peers) {
    transport.addAddresses({ ...(id === undefined ? {} : { id: id as PeerId }), addresses });
  }
  const membership = new Membership(base, transport);
  const attributes: PeerAttributes = {
    address,
    apiPort: config.apiPort,
    kubeletPort: config.kubeletPort,
    version: VERSION.gitVersion,
  };
  membership.setAttributes({ ...attributes });
  const isolate = (seconds: number) => {
    isolation.begin(seconds);
    transport.enforceDenials();
  };
  return { transport, membership, services: [membership, new PeerExchange(base, transport), transport], isolate };
}

/** Known peers in a file, so that a machine that boots finds the others. */
function fileAddressBook(path: string, log: Logger): AddressBook {
  return {
    async load() {
      try {
        return JSON.parse(await readFile(path, 'utf8')) as AddressBookEntry[];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
          log.warn('the address book cannot be read; peers will be learnt anew', { error: errorText(error) });
        }
        return [];
      }
    },
    async save(entries) {
      await writeFile(`${path}.new`, JSON.stringify(entries), { mode: 0o600 });
      await rename(`${path}.new`, path);
    },
  };
}

import assert from 'node:assert/strict';
import { withoutReallocated } from '../../../../../src/api/strategy/reallocation.js';
import type { Service } from '../../../../../src/api/types/core-v1.js';
import { doublyGiven } from '../../../../../src/control/controllers/nodeipam/plan.js';
import { claimsOf, isElder, withoutClaims } from '../../../../../src/control/controllers/serviceallocation/claims.js';

const service = {
  kind: 'Service',
  metadata: { name: 'a', namespace: 'default' },
  spec: {
    type: 'LoadBalancer',
    clusterIP: '10.96.0.5',
    clusterIPs: ['10.96.0.5'],
    healthCheckNodePort: 30_002,
    ports: [
      { port: 80, nodePort: 30_000 },
      { port: 443, nodePort: 30_001 },
    ],
  },
} as Service;

describe('what Services hold', () => {
  it('are addresses and node ports', () => {
    assert.deepEqual(claimsOf(service), ['ip 10.96.0.5', 'port 30000', 'port 30001', 'port 30002']);
    assert.deepEqual(claimsOf({ ...service, spec: { clusterIP: 'None', clusterIPs: ['None'] } }), []);
  });

  it('stays with the one created first, by uid at the same time', () => {
    const of = (creationTimestamp: string, uid: string) => ({ metadata: { name: 'x', creationTimestamp, uid } });
    assert.equal(isElder(of('2026-01-01T00:00:00Z', 'z'), of('2026-01-01T00:00:01Z', 'a')), true);
    assert.equal(isElder(of('2026-01-01T00:00:00Z', 'z'), of('2026-01-01T00:00:00Z', 'a')), false);
  });

  it('is taken away without touching the rest', () => {
    const left = withoutClaims(service, new Set(['ip 10.96.0.5', 'port 30001']));
    assert.deepEqual(claimsOf(left), ['port 30000', 'port 30002']);
    assert.deepEqual(
      left.spec?.ports?.map(({ port }) => port),
      [80, 443],
    );
    // What is given anew counts as never given; the rest stays as immutable as it is.
    assert.deepEqual(claimsOf(withoutReallocated(service, left) as Service), ['port 30000', 'port 30002']);
    assert.deepEqual(withoutReallocated(service, service), service);
  });
});

describe('pod CIDRs of two nodes', () => {
  it('stay with the node created first', () => {
    const claim = (node: string, podCIDR: string | undefined, created: string) => ({
      node,
      podCIDR,
      created,
      uid: node,
    });
    const losers = doublyGiven([
      claim('b', '10.244.0.0/24', '2026-01-02T00:00:00Z'),
      claim('a', '10.244.0.0/24', '2026-01-03T00:00:00Z'),
      claim('c', '10.244.1.0/24', '2026-01-01T00:00:00Z'),
      claim('d', undefined, '2026-01-01T00:00:00Z'),
      claim('e', undefined, '2026-01-01T00:00:00Z'),
    ]);
    assert.deepEqual(
      [...losers].map(([node, keeper]) => [node, keeper.node]),
      [['a', 'b']],
    );
  });
});

import assert from 'node:assert/strict';
import { statusText, type ClusterStatus } from '../../../src/cli/commands/status.js';
import { parseDuration, shortDuration } from '../../../src/cli/duration.js';
import { columns } from '../../../src/cli/printers/columns.js';
import { describeObject, labelOf } from '../../../src/cli/printers/description.js';
import { jsonText, yamlText } from '../../../src/cli/printers/documents.js';
import { tableRows } from '../../../src/cli/printers/table.js';

const NOW = Date.parse('2026-01-01T12:00:00Z');

describe('columns', () => {
  it('stand three spaces apart and end without padding', () => {
    assert.equal(
      columns([
        ['NAME', 'AGE'],
        ['long-name', '5s'],
        ['a', ''],
      ]),
      'NAME        AGE\nlong-name   5s\na           \n',
    );
  });

  it('do not let objects speak to the terminal', () => {
    assert.equal(columns([['a\u001b[31mb', 'x\ny']]), 'a\\x1b[31mb   x\\ny\n');
  });
});

describe('tables of the server', () => {
  const table = {
    columnDefinitions: [{ name: 'Name' }, { name: 'Ready' }, { name: 'Node', priority: 1 }],
    rows: [
      { cells: ['a', true, null], object: { metadata: { namespace: 'ns', labels: { b: '2', a: '1' } } } },
      { cells: ['b', 3, 'n1'], object: { metadata: { namespace: 'ns' } } },
    ],
  };
  const style = { wide: false, withHeader: true, withNamespace: false, withLabels: false, prefix: '' };

  it('show the columns of priority 0, and all when wide', () => {
    assert.equal(columns(tableRows(table, style)), 'NAME   READY\na      true\nb      3\n');
    assert.equal(
      columns(tableRows(table, { ...style, wide: true, withHeader: false })),
      'a   true   \nb   3      n1\n',
    );
  });

  it('add namespaces, labels and the type before the name', () => {
    assert.equal(
      columns(tableRows(table, { ...style, withNamespace: true, withLabels: true, prefix: 'pod/' })),
      'NAMESPACE   NAME    READY   LABELS\nns          pod/a   true    a=1,b=2\nns          pod/b   3       <none>\n',
    );
  });
});

describe('documents', () => {
  const object = { kind: 'X', b: ['1', { z: 1, a: 'yes' }], a: { text: 'one\ntwo\n', empty: {}, none: [], html: '<' } };

  it('are YAML as kubectl prints it', () => {
    assert.equal(
      yamlText(object),
      'a:\n  empty: {}\n  html: <\n  none: []\n  text: |\n    one\n    two\nb:\n- "1"\n- a: "yes"\n  z: 1\nkind: X\n',
    );
  });

  it('are JSON as kubectl prints it', () => {
    assert.equal(jsonText({ b: [1], a: '<' }), '{\n    "a": "\\u003c",\n    "b": [\n        1\n    ]\n}\n');
  });
});

describe('durations', () => {
  it('are read as Go reads them', () => {
    assert.deepEqual(['24h', '1h30m', '1.5s', '100ms', '0', '5', '1d', '', '-1h'].map(parseDuration), [
      86_400_000,
      5_400_000,
      1_500,
      100,
      0,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('are printed as in the AGE columns of kubectl', () => {
    const ages = [0, 119, 120, 330, 600, 10_799, 10_800, 28_800, 172_800, 180_000, 7.8e6, 7e7, 4e8];
    assert.deepEqual(
      ages.map((seconds) => shortDuration(seconds * 1000)),
      ['0s', '119s', '2m', '5m30s', '10m', '179m', '3h', '8h', '2d', '2d2h', '90d', '2y80d', '12y'],
    );
  });
});

describe('descriptions', () => {
  it('label fields in words', () => {
    assert.deepEqual(
      ['podIP', 'podIPs', 'terminationGracePeriodSeconds', 'hostIPC', 'apiVersion', 'URLPath', 'a.b/c'].map(labelOf),
      ['Pod IP', 'Pod IPs', 'Termination Grace Period Seconds', 'Host IPC', 'Api Version', 'URLPath', 'a.b/c'],
    );
  });

  it('show everything of an object and its events', () => {
    const object = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'default', labels: { app: 'web', tier: 'x' } },
      spec: { ports: [{ port: 80 }, { name: 'b', port: 81 }], selector: { app: 'web' }, clusterIPs: ['10.0.0.1'] },
    };
    const event = {
      metadata: {},
      involvedObject: {},
      type: 'Warning',
      reason: 'Failed',
      message: 'no\n',
      count: 4,
      firstTimestamp: '2026-01-01T11:55:00Z',
      lastTimestamp: '2026-01-01T11:59:50Z',
      source: { component: 'kubelet' },
    };
    assert.equal(
      describeObject(object, [event], NOW),
      `Name:         web
Namespace:    default
Labels:       app=web
              tier=x
Annotations:  <none>
API Version:  v1
Kind:         Service
Metadata:
Spec:
  Cluster IPs:
    10.0.0.1
  Ports:
    Port:  80

    Name:  b
    Port:  81
  Selector:
    app:  web
Events:
  Type      Reason   Age                From      Message
  ----      ------   ----               ----      -------
  Warning   Failed   10s (x4 over 5m)   kubelet   no
`,
    );
  });

  it('do not show what is in a Secret', () => {
    const secret = {
      kind: 'Secret',
      metadata: { name: 's' },
      data: { password: Buffer.from('hunter2').toString('base64') },
    };
    const text = describeObject(secret, [], NOW);
    assert.match(text, /Data:\n {2}password: {2}7 bytes\nEvents: {3}<none>\n$/);
    assert.doesNotMatch(text, /hunter2|aHVud/);
  });
});

describe('skein status', () => {
  const status: ClusterStatus = {
    cluster: { id: 'c1' },
    self: { id: 'p2', name: 'b' },
    mode: 'following',
    leader: 'p1',
    view: {
      epoch: { n: 3, leader: 'p1' },
      version: 1,
      members: ['p1', 'p2'],
      voters: ['p1', 'p2'],
      roles: { scheduler: { holder: 'p2', epoch: 7 }, api: { holder: 'p1', epoch: 6 } },
    },
    level: 1,
    revision: 41,
    head: 42,
    peers: [
      {
        id: 'p2',
        name: 'b',
        address: '10.0.0.2',
        apiPort: 6443,
        liveness: 'alive',
        sinceMs: 90_000,
        version: 'v1',
        formats: { oldest: 1, newest: 2 },
      },
      {
        id: 'p1',
        name: 'a',
        address: '10.0.0.1',
        apiPort: 6443,
        liveness: 'alive',
        sinceMs: 3_600_000,
        version: 'v1',
        formats: { oldest: 1, newest: 1 },
      },
      { id: 'p3', name: 'c', liveness: 'dead', sinceMs: 5_000 },
    ],
    warnings: ['peer c is not in reach'],
  };

  it('shows peers, roles with epochs, revision and component', () => {
    assert.equal(
      statusText(status),
      `Cluster:      c1
Asked peer:   b (following)
Sequencer:    a
Level:        1
Revision:     41 (newest known: 42)
Component:    2 of 3 peers: a, b
Epoch:        3

PEER   LIVENESS   SINCE   API             IN COMPONENT   VERSION     FORMATS     ID
a      alive      60m     10.0.0.1:6443   yes            v1          1           p1
b*     alive      90s     10.0.0.2:6443   yes            v1          1–2         p2
c      dead       5s      <unknown>       no             <unknown>   <unknown>   p3

ROLE        HOLDER   EPOCH
api         a        6
scheduler   b        7

Warning: peer c is not in reach
`,
    );
  });

  it('says that a peer has found no component', () => {
    const text = statusText({ ...status, view: null, leader: null, warnings: [] });
    assert.match(text, /Sequencer: {4}<none>\n/);
    assert.match(text, /Component: {4}none: this peer has not found its place yet\n/);
    assert.doesNotMatch(text, /ROLE|Warning/);
  });
});

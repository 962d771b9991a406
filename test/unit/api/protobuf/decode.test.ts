import assert from 'node:assert/strict';
import protobuf from 'protobufjs';
import { decodeProtobufBody } from '../../../../src/api/protobuf/decode.js';
import { parseBody } from '../../../../src/api/body.js';
import { loadData } from '../../../../src/api/schema/data.js';

const root = protobuf.Root.fromJSON(loadData('protobuf') as protobuf.INamespace);

/** Encodes as Go does: an envelope around the message. */
function encode(apiVersion: string, kind: string, typeName: string, message: object): Uint8Array {
  const type = root.lookupType(typeName);
  const raw = type.encode(type.fromObject(message)).finish();
  const unknown = root.lookupType('k8s.io.apimachinery.pkg.runtime.Unknown');
  const envelope = unknown.encode(unknown.fromObject({ typeMeta: { apiVersion, kind }, raw })).finish();
  return Buffer.concat([Buffer.from('k8s\0'), envelope]);
}

describe('protobuf bodies', () => {
  it('become the JSON that kubectl would have sent', () => {
    const body = encode('apps/v1', 'Deployment', 'k8s.io.api.apps.v1.Deployment', {
      metadata: {
        name: 'web',
        namespace: '',
        generateName: '',
        generation: 0,
        creationTimestamp: {},
        labels: { app: 'web' },
      },
      spec: {
        replicas: 0,
        minReadySeconds: 0,
        paused: false,
        selector: { matchLabels: { app: 'web' } },
        strategy: { type: '' },
        template: {
          metadata: { creationTimestamp: {}, labels: { app: 'web' } },
          spec: {
            restartPolicy: '',
            hostNetwork: false,
            securityContext: {},
            volumes: [{ name: 'v', volumeSource: { emptyDir: { medium: '' } } }],
            containers: [
              {
                name: 'c',
                image: 'nginx',
                resources: { limits: { cpu: { string: '500m' } } },
                ports: [{ name: '', hostPort: 0, containerPort: 80, protocol: '' }],
                livenessProbe: {
                  handler: { httpGet: { path: '/', port: { type: 1, intVal: 0, strVal: 'http' } } },
                  periodSeconds: 5,
                },
                env: [
                  {
                    name: 'A',
                    value: '',
                    valueFrom: { secretKeyRef: { localObjectReference: { name: 's' }, key: 'k' } },
                  },
                ],
              },
            ],
          },
        },
      },
      status: { observedGeneration: 0 },
    });
    assert.deepEqual(decodeProtobufBody(body), {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', labels: { app: 'web' } },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' } },
          spec: {
            securityContext: {},
            volumes: [{ name: 'v', emptyDir: {} }],
            containers: [
              {
                name: 'c',
                image: 'nginx',
                resources: { limits: { cpu: '500m' } },
                ports: [{ containerPort: 80 }],
                livenessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 5 },
                env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }],
              },
            ],
          },
        },
      },
    });
  });

  it('carry bytes as base64 and delete options of any group', () => {
    const secret = encode('v1', 'Secret', 'k8s.io.api.core.v1.Secret', {
      metadata: { name: 's' },
      data: { k: Buffer.from('hello') },
      type: 'Opaque',
    });
    assert.deepEqual(parseBody(secret, 'application/vnd.kubernetes.protobuf').value, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's' },
      data: { k: 'aGVsbG8=' },
      type: 'Opaque',
    });
    const options = encode('apps/v1', 'DeleteOptions', 'k8s.io.apimachinery.pkg.apis.meta.v1.DeleteOptions', {
      gracePeriodSeconds: 0,
      propagationPolicy: 'Background',
    });
    assert.deepEqual(decodeProtobufBody(options), {
      apiVersion: 'apps/v1',
      kind: 'DeleteOptions',
      gracePeriodSeconds: 0,
      propagationPolicy: 'Background',
    });
  });

  it('use the JSON names where protobuf spells them otherwise', () => {
    const body = encode(
      'admissionregistration.k8s.io/v1',
      'ValidatingWebhookConfiguration',
      'k8s.io.api.admissionregistration.v1.ValidatingWebhookConfiguration',
      {
        metadata: { name: 'v' },
        Webhooks: [{ name: 'w', rules: [{ operations: ['CREATE'], rule: { apiGroups: [''] } }] }],
      },
    );
    assert.deepEqual(decodeProtobufBody(body), {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: 'v' },
      webhooks: [{ name: 'w', rules: [{ operations: ['CREATE'], apiGroups: [''] }] }],
    });
  });

  it('refuse bytes that are none', () => {
    assert.throws(() => decodeProtobufBody(Buffer.from('{}')), /does not appear to be a protobuf message/);
    assert.throws(() => decodeProtobufBody(Buffer.from('k8s\0\xff\xff\xff\xff')), { code: 400 });
  });
});

/** Webhooks that nobody answers. */
import type { Context, Rows } from '../framework/context.js';
import { eventually, refused } from '../framework/expect.js';

/** What cannot be asked for leave is refused. */
async function failsClosed(t: Context): Promise<void> {
  const label = { 'conformance.example.com/fail-closed': t.unique('run') };
  const namespace = await t.namespace('webhook', label);
  const configurations = t.resource('admissionregistration.k8s.io/v1', 'validatingwebhookconfigurations');
  const name = t.unique('fail-closed');
  await configurations.create({
    metadata: { name },
    webhooks: [
      {
        name: 'fail-closed.conformance.example.com',
        clientConfig: { service: { namespace, name: 'no-such-service', path: '/configmaps', port: 8443 } },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }],
        namespaceSelector: { matchLabels: label },
        failurePolicy: 'Fail',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        timeoutSeconds: 2,
      },
    ],
  });
  t.cleanup(() => configurations.delete(name));
  const configMaps = t.core('configmaps', namespace);
  await eventually('the webhook to take effect', async () => {
    const answer = await t.api.send('POST', configMaps.path(), { body: { metadata: { name: t.unique('cm') } } });
    return answer.status !== 201;
  });
  const message = /failed calling webhook "fail-closed\.conformance\.example\.com"/;
  await refused(configMaps.create({ metadata: { name: 'cm' } }), { status: 500, reason: 'InternalError', message });
}

export const rows: Rows = { 'webhook-fail-closed': failsClosed };

/** LimitRanges and RuntimeClasses at admission. */
import type { Context, Rows } from '../framework/context.js';
import { podSpec } from '../api/fixtures.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';

const resources = (cpu: string, memory: string, storage: string) => ({ cpu, memory, 'ephemeral-storage': storage });

function pod(name: string, wanted: Json): Json {
  const spec = podSpec();
  spec.containers[0].resources = wanted;
  return { metadata: { name }, spec };
}

async function limitRange(t: Context): Promise<void> {
  const namespace = await t.namespace('limits');
  const ranges = t.core('limitranges', namespace);
  const pods = t.core('pods', namespace);
  const limit = {
    type: 'Container',
    min: resources('50m', '100Mi', '100Gi'),
    max: resources('500m', '500Mi', '500Gi'),
    default: resources('500m', '500Mi', '500Gi'),
    defaultRequest: resources('100m', '200Mi', '200Gi'),
  };
  await ranges.create({ metadata: { name: 'limits' }, spec: { limits: [limit] } });
  includes((await ranges.get('limits')).spec.limits[0], limit);

  const empty = await pods.create(pod('defaults', {}));
  includes(empty.spec.containers[0].resources, { requests: limit.defaultRequest, limits: limit.default });
  const partial = { requests: { cpu: '300m', memory: '150Mi' }, limits: { memory: '300Mi' } };
  const merged = await pods.create(pod('partial', partial));
  includes(merged.spec.containers[0].resources, {
    requests: resources('300m', '150Mi', '200Gi'),
    limits: resources('500m', '300Mi', '500Gi'),
  });

  const forbidden = { status: 403, reason: 'Forbidden' };
  const low = { requests: resources('10m', '50Mi', '50Gi'), limits: resources('100m', '200Mi', '200Gi') };
  await refused(pods.create(pod('below', low)), { ...forbidden, message: /minimum cpu usage per Container is 50m/ });
  const high = { requests: resources('100m', '200Mi', '200Gi'), limits: resources('600m', '600Mi', '600Gi') };
  await refused(pods.create(pod('above', high)), { ...forbidden, message: /maximum cpu usage per Container is 500m/ });

  await ranges.update('limits', ({ spec }) => (spec.limits[0].min = resources('9m', '49Mi', '49Gi')));
  await eventually('the lower minimum to take effect', async () => {
    await pods.create(pod('below', low));
    return true;
  });
  await refused(pods.create(pod('above', high)), forbidden);
  await ranges.delete('limits');
  await eventually('the LimitRange to be gone', async () => (await ranges.items()).length === 0);
  await eventually('its limits to be gone', async () => {
    await pods.create(pod('above', high));
    return true;
  });
}

const pods = async (t: Context) => t.core('pods', await t.namespace('runtime-class'));

async function refusesClass(t: Context, runtimeClassName: string): Promise<void> {
  const object = { metadata: { name: 'of-class' }, spec: { ...podSpec(), runtimeClassName } };
  const message = new RegExp(`RuntimeClass "${runtimeClassName}" not found`);
  await refused((await pods(t)).create(object), { status: 403, reason: 'Forbidden', message });
}

export const rows: Rows = {
  'limitrange-defaults': limitRange,
  'rtclass-missing': (t) => refusesClass(t, t.unique('no-such-class')),
  'rtclass-deleted': async (t) => {
    const classes = t.resource('node.k8s.io/v1', 'runtimeclasses');
    const name = t.unique('deleted-class');
    await classes.create({ metadata: { name }, handler: 'runc' });
    await classes.delete(name);
    await refusesClass(t, name);
  },
};

/** Rows that are the life of one kind, and what some of them ask beyond it. */
import assert from 'node:assert/strict';
import type { Context, Rows, RowTest } from '../framework/context.js';
import { eventually, includes, refused } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import { FIXTURES, IMAGE, webhooks } from './fixtures.js';
import { lifecycle, lifecycleRow, type Fixture } from './lifecycle.js';

/** An object of a fixture, made in `namespace`. */
export async function make(
  t: Context,
  fixture: keyof typeof FIXTURES,
  namespace?: string,
  over: Json = {},
): Promise<Json> {
  const kind: Fixture = FIXTURES[fixture];
  const name = t.unique(kind.plural);
  const resource = t.resource(kind.groupVersion, kind.plural, namespace);
  const { metadata, ...rest } = over;
  const object = { metadata: { name, ...metadata }, ...kind.body?.(0, name), ...rest };
  const created = await resource.create({ apiVersion: kind.groupVersion, kind: kind.kind, ...object });
  t.cleanup(() => resource.delete(created.metadata.name));
  return created;
}

const matchConditions =
  (plural: 'mutatingwebhookconfigurations' | 'validatingwebhookconfigurations'): RowTest =>
  async (t) => {
    const { groupVersion, kind, body } = webhooks(plural);
    const resource = t.resource(groupVersion, plural);
    const name = t.unique('match-conditions');
    const object = { apiVersion: groupVersion, kind, metadata: { name }, ...body?.(0, name) };
    const conditions = [{ name: 'expression-1', expression: 'true' }];
    object.webhooks[0].matchConditions = conditions;
    t.cleanup(() => resource.delete(name));
    assert.deepEqual((await resource.create(object)).webhooks[0].matchConditions, conditions);
    const two = [...conditions, { name: 'expression-2', expression: 'object.metadata.name != "skip-me"' }];
    await resource.update(name, ({ webhooks: [first] }) => (first.matchConditions = two));
    assert.deepEqual((await resource.get(name)).webhooks[0].matchConditions, two);
  };

/** Approval, status (with a certificate) and the rest of a CertificateSigningRequest. */
async function csrApi(t: Context): Promise<void> {
  const request = await certificateRequest();
  const signerName = 'conformance.example.com/signer';
  await lifecycle(t, {
    groupVersion: 'certificates.k8s.io/v1',
    plural: 'certificatesigningrequests',
    kind: 'CertificateSigningRequest',
    clusterScoped: true,
    body: () => ({ spec: { request, signerName, usages: ['client auth'], expirationSeconds: 3600 } }),
  });
  const requests = t.resource('certificates.k8s.io/v1', 'certificatesigningrequests');
  const name = t.unique('csr');
  await requests.create({ metadata: { name }, spec: { request, signerName, usages: ['client auth'] } });
  t.cleanup(() => requests.delete(name));
  const approved = { type: 'Approved', status: 'True', reason: 'Conformance', message: 'approved by a test' };
  const conditions = { status: { conditions: [approved] } };
  includes(await requests.patch(name, conditions, 'merge', 'approval'), conditions);
  includes(await requests.get(name, 'approval'), conditions);
  // The certificate is the signer's, and goes through the status; approval does not.
  const certificate = await selfSigned();
  const signed = await requests.update(name, (object) => (object.status.certificate = certificate), 'status');
  assert.equal(signed.status.certificate, certificate);
  includes(signed, conditions);
}

async function certificateRequest(): Promise<string> {
  const { x509, keys, algorithm } = await keyPair();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=conformance',
    keys,
    signingAlgorithm: algorithm,
  });
  return Buffer.from(request.toString('pem')).toString('base64');
}

async function selfSigned(): Promise<string> {
  const { x509, keys, algorithm } = await keyPair();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=conformance',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    keys,
    signingAlgorithm: algorithm,
  });
  return Buffer.from(certificate.toString('pem')).toString('base64');
}

async function keyPair() {
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  return { x509, keys, algorithm };
}

async function priorityClassApi(t: Context): Promise<void> {
  const classes = t.resource('scheduling.k8s.io/v1', 'priorityclasses');
  const label = t.unique('run');
  for (const value of [100, 200]) {
    const name = t.unique('priority');
    await classes.create({ metadata: { name, labels: { run: label } }, value, description: 'first' });
    t.cleanup(() => classes.delete(name));
  }
  const items = await classes.items(`run=${label}`);
  assert.equal(items.length, 2);
  for (const { metadata, value } of items) {
    const immutable = { status: 422, reason: 'Invalid', message: /[Ff]orbidden.*may not be changed in an update/ };
    await refused(classes.patch(metadata.name, { value: value * 10 }), immutable);
    await refused(classes.patch(metadata.name, { preemptionPolicy: 'Never' }), { status: 422, reason: 'Invalid' });
    const updated = await classes.update(metadata.name, (object) => (object.description = 'second'));
    includes(updated, { description: 'second', value });
  }
}

async function volumeAttachmentStatus(t: Context): Promise<void> {
  const { metadata } = await make(t, 'volumeAttachment');
  const attachments = t.resource('storage.k8s.io/v1', 'volumeattachments');
  const { name } = metadata;
  const patched = await attachments.patch(name, { status: { attached: true } }, 'merge', 'status');
  assert.equal(patched.status.attached, true);
  assert.equal((await attachments.get(name, 'status')).status.attached, true);
  await attachments.update(name, ({ status }) => (status.attached = false), 'status');
  assert.equal((await attachments.get(name)).status.attached, false);
}

/** Conditions of a volume and of a claim, patched and updated; both phases are ones there are. */
async function volumeStatus(t: Context): Promise<void> {
  const namespace = await t.namespace();
  const volume = await make(t, 'persistentVolume');
  const claim = await make(t, 'volumeClaim', namespace);
  const volumes = t.core('persistentvolumes');
  const claims = t.core('persistentvolumeclaims', namespace);
  const phases = ['Pending', 'Available', 'Bound', 'Released', 'Failed'];
  const condition = (type: string) => ({ type, status: 'True', reason: 'Conformance', message: 'set by a test' });

  const claimName = claim.metadata.name;
  assert.ok(phases.includes((await claims.get(claimName, 'status')).status.phase));
  const patched = await claims.patch(
    claimName,
    { status: { conditions: [condition('PatchedByTest')] } },
    'merge',
    'status',
  );
  includes(patched.status.conditions, [condition('PatchedByTest')]);
  const update = (object: Json) => object.status.conditions.push(condition('UpdatedByTest'));
  const updated = await claims.update(claimName, update, 'status');
  includes(updated.status.conditions, [condition('PatchedByTest'), condition('UpdatedByTest')]);

  const volumeName = volume.metadata.name;
  const { status } = await volumes.get(volumeName, 'status');
  assert.ok(phases.includes(status.phase), `phase ${status.phase}`);
  const reason = { status: { message: 'patched', reason: 'PatchedByTest' } };
  includes(await volumes.patch(volumeName, reason, 'merge', 'status'), reason);
  await volumes.update(volumeName, (object) => (object.status.reason = 'UpdatedByTest'), 'status');
  assert.equal((await volumes.get(volumeName)).status.reason, 'UpdatedByTest');
}

const immutable =
  (plural: 'configmaps' | 'secrets', value: string, other: string): RowTest =>
  async (t) => {
    const resource = t.core(plural, await t.namespace());
    const name = t.unique('immutable');
    await resource.create({ metadata: { name }, data: { key: value } });
    await resource.update(name, (object) => (object.data.more = value));
    await resource.update(name, (object) => (object.immutable = true));
    const invalid = { status: 422, reason: 'Invalid', message: /field is immutable when `immutable` is set/ };
    await refused(
      resource.update(name, (object) => (object.data.key = other)),
      invalid,
    );
    await refused(
      resource.update(name, (object) => (object.immutable = false)),
      invalid,
    );
    await refused(resource.patch(name, { immutable: null }), invalid);
    const labelled = await resource.update(name, ({ metadata }) => (metadata.labels = { kept: 'true' }));
    includes(labelled, { immutable: true, data: { key: value, more: value }, metadata: { labels: { kept: 'true' } } });
    await resource.delete(name);
    await refused(resource.get(name), { status: 404, reason: 'NotFound' });
  };

const emptyKey =
  (plural: 'configmaps' | 'secrets'): RowTest =>
  async (t) => {
    const resource = t.core(plural, await t.namespace());
    const create = resource.create({ metadata: { name: t.unique('empty-key') }, data: { '': 'dmFsdWU=' } });
    const { details } = await refused(create, { status: 422, reason: 'Invalid' });
    assert.match(details.causes[0].field, /^data\[\]?/);
  };

/** A claim that its volume satisfies, through all verbs; the volume likewise. */
async function volumeLifecycle(t: Context): Promise<void> {
  // Their finalizers are a controller's to take away.
  t.needsControllers();
  await lifecycle(t, FIXTURES.persistentVolume);
  await lifecycle(t, FIXTURES.volumeClaim);
}

async function jobLifecycle(t: Context): Promise<void> {
  t.needsControllers();
  await lifecycle(t, FIXTURES.job);
  const namespace = await t.namespace();
  const job = await make(t, 'job', namespace);
  const jobs = t.resource('batch/v1', 'jobs', namespace);
  const { name } = job.metadata;
  // Its pods are found by labels that the API server makes up.
  assert.equal(job.spec.selector.matchLabels['batch.kubernetes.io/controller-uid'], job.metadata.uid);
  assert.equal(job.spec.template.metadata.labels['batch.kubernetes.io/job-name'], name);
  await refused(jobs.patch(name, { spec: { completions: 7 } }), { status: 422, reason: 'Invalid' });
  assert.equal((await jobs.patch(name, { spec: { suspend: false } })).spec.suspend, false);
}

async function podTemplateReplace(t: Context): Promise<void> {
  const namespace = await t.namespace();
  const { metadata } = await make(t, 'podTemplate', namespace);
  const templates = t.core('podtemplates', namespace);
  await templates.update(metadata.name, (object) => (object.template.spec.containers[0].image = `${IMAGE}-other`));
  assert.equal((await templates.get(metadata.name)).template.spec.containers[0].image, `${IMAGE}-other`);
}

/** Eight rows of one kind each ask for an update that lasts. */
const updateLasts =
  (fixture: 'configMap' | 'serviceAccount', change: (object: Json) => void, kept: Json): RowTest =>
  async (t) => {
    const namespace = await t.namespace();
    const { metadata } = await make(t, fixture, namespace);
    const { groupVersion, plural } = FIXTURES[fixture];
    const resource = t.resource(groupVersion, plural, namespace);
    await resource.update(metadata.name, change);
    includes(await resource.get(metadata.name), kept);
  };

/** Two namespaces; the collection of one goes, the other's stays. */
async function limitRangeCollection(t: Context): Promise<void> {
  const label = t.unique('run');
  const selector = `run=${label}`;
  const [one, other] = [await t.namespace(), await t.namespace()];
  const kept = await make(t, 'limitRange', one, { metadata: { labels: { run: label } } });
  await make(t, 'limitRange', other, { metadata: { labels: { run: label } } });
  assert.equal((await t.core('limitranges').items(selector)).length, 2);
  const limits = [{ type: 'Container', max: { cpu: '1' } }];
  const patched = await t.core('limitranges', one).patch(kept.metadata.name, { spec: { limits } });
  includes(patched.spec.limits, limits);
  await t.core('limitranges', other).deleteCollection(selector);
  await eventually('one to be left', async () => {
    const names = await t.core('limitranges').names(selector);
    return names.length === 1 && names[0] === kept.metadata.name;
  });
}

async function quotaUpdateDelete(t: Context): Promise<void> {
  const namespace = await t.namespace();
  const quotas = t.core('resourcequotas', namespace);
  const { metadata } = await make(t, 'resourceQuota', namespace);
  includes((await quotas.get(metadata.name)).spec.hard, { cpu: '1', memory: '500Mi' });
  await quotas.update(metadata.name, ({ spec }) => Object.assign(spec.hard, { cpu: '2', memory: '1Gi' }));
  includes((await quotas.get(metadata.name)).spec.hard, { cpu: '2', memory: '1Gi' });
  await quotas.delete(metadata.name);
  await refused(quotas.get(metadata.name), { status: 404, reason: 'NotFound' });
}

export const rows: Rows = {
  'apf-flowschema-api': lifecycleRow(FIXTURES.flowSchema),
  'apf-prioritylevel-api': lifecycleRow(FIXTURES.priorityLevel),
  'webhook-mutating-matchconditions': matchConditions('mutatingwebhookconfigurations'),
  'webhook-validating-matchconditions': matchConditions('validatingwebhookconfigurations'),
  'vap-api': lifecycleRow(FIXTURES.validatingPolicy),
  'vapb-api': lifecycleRow(FIXTURES.validatingPolicyBinding),
  'map-api': lifecycleRow(FIXTURES.mutatingPolicy),
  'mapb-api': lifecycleRow(FIXTURES.mutatingPolicyBinding),
  'svm-crud': lifecycleRow(FIXTURES.storageVersionMigration),
  'cronjob-api': lifecycleRow(FIXTURES.cronJob),
  'pdb-crud': lifecycleRow(FIXTURES.disruptionBudget),
  'pdb-collection': async (t) => {
    const label = t.unique('run');
    const [one, other] = [await t.namespace(), await t.namespace()];
    for (const namespace of [one, one, other]) {
      await make(t, 'disruptionBudget', namespace, { metadata: { labels: { run: label } } });
    }
    assert.equal((await t.resource('policy/v1', 'poddisruptionbudgets').items(`run=${label}`)).length, 3);
    await t.resource('policy/v1', 'poddisruptionbudgets', one).deleteCollection(`run=${label}`);
    await eventually('the collection to be gone', async () => {
      const items = await t.resource('policy/v1', 'poddisruptionbudgets').items(`run=${label}`);
      return items.length === 1 && items[0].metadata.namespace === other;
    });
  },
  'job-lifecycle': jobLifecycle,
  'csr-api': csrApi,
  'pcr-api': lifecycleRow(FIXTURES.podCertificateRequest),
  'ctb-crud': lifecycleRow(FIXTURES.trustBundle),
  'sa-lifecycle': lifecycleRow(FIXTURES.serviceAccount),
  'sa-update': updateLasts('serviceAccount', (object) => (object.automountServiceAccountToken = true), {
    automountServiceAccountToken: true,
  }),
  'eps-api': lifecycleRow(FIXTURES.endpointSlice),
  'endpoints-lifecycle': lifecycleRow(FIXTURES.endpoints),
  'ingress-api': lifecycleRow(FIXTURES.ingress),
  'ingressclass-api': lifecycleRow(FIXTURES.ingressClass),
  'ipaddress-api': lifecycleRow(FIXTURES.ipAddress),
  'servicecidr-api': lifecycleRow(FIXTURES.serviceCidr),
  'cm-lifecycle': lifecycleRow(FIXTURES.configMap),
  'cm-update': updateLasts('configMap', ({ data }) => (data.more = 'kept'), { data: { more: 'kept' } }),
  'cm-immutable': immutable('configmaps', 'value', 'other'),
  'cm-empty-key': emptyKey('configmaps'),
  'secret-patch': lifecycleRow(FIXTURES.secret),
  'secret-immutable': immutable('secrets', 'dmFsdWU=', 'b3RoZXI='),
  'secret-empty-key': emptyKey('secrets'),
  'lease-api': lifecycleRow(FIXTURES.lease),
  'node-lifecycle': lifecycleRow(FIXTURES.node),
  'podtemplate-lifecycle': lifecycleRow(FIXTURES.podTemplate),
  'podtemplate-collection': lifecycleRow(FIXTURES.podTemplate),
  'podtemplate-replace': podTemplateReplace,
  'rtclass-api': lifecycleRow(FIXTURES.runtimeClass),
  'dra-deviceclass': lifecycleRow(FIXTURES.deviceClass),
  'dra-devicetaintrule': lifecycleRow(FIXTURES.deviceTaintRule),
  'dra-resourceclaim': lifecycleRow(FIXTURES.resourceClaim),
  'dra-resourceclaimtemplate': lifecycleRow(FIXTURES.resourceClaimTemplate),
  'dra-resourceslice': lifecycleRow(FIXTURES.resourceSlice),
  'limitrange-collection': limitRangeCollection,
  'quota-lifecycle': lifecycleRow(FIXTURES.resourceQuota),
  'quota-update-delete': quotaUpdateDelete,
  'priorityclass-api': priorityClassApi,
  'csidriver-api': lifecycleRow(FIXTURES.csiDriver),
  'csi-inline-pod-api': lifecycleRow(FIXTURES.csiInlinePod),
  'csinode-api': lifecycleRow(FIXTURES.csiNode),
  'csistoragecapacity-api': lifecycleRow(FIXTURES.csiStorageCapacity),
  'pv-status': volumeStatus,
  'pv-lifecycle': volumeLifecycle,
  'storageclass-api': lifecycleRow(FIXTURES.storageClass),
  'volumeattachment-status': volumeAttachmentStatus,
  'volumeattachment-api': lifecycleRow(FIXTURES.volumeAttachment),
  'volumeattributesclass-api': lifecycleRow(FIXTURES.volumeAttributesClass),
};

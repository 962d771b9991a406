/** What people do with kubectl. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { Context, Rows } from '../framework/context.js';
import { eventually, includes } from '../framework/expect.js';
import type { Json } from '../framework/http.js';
import { IMAGE } from './fixtures.js';

const deployment = (image: string) => `apiVersion: apps/v1
kind: Deployment
metadata: {name: diffed, labels: {app: diffed}}
spec:
  replicas: 1
  selector: {matchLabels: {app: diffed}}
  template:
    metadata: {labels: {app: diffed}}
    spec: {containers: [{name: httpd, image: "${image}"}]}
`;

async function diff(t: Context): Promise<void> {
  const namespace = await t.namespace('kubectl');
  await t.kubectlOk(['create', '-n', namespace, '-f', '-'], deployment(IMAGE));
  const changed = `${IMAGE}-changed`;
  // 1: there are differences; more is an error.
  const { code, stdout, stderr } = await t.kubectl(['diff', '-n', namespace, '-f', '-'], deployment(changed));
  assert.equal(code, 1, stderr);
  assert.match(stdout, new RegExp(`^-.*image: ${IMAGE}$`, 'm'));
  assert.match(stdout, new RegExp(`^\\+.*image: ${changed}$`, 'm'));
  const same = await t.kubectl(['diff', '-n', namespace, '-f', '-'], deployment(IMAGE));
  assert.equal(same.code, 0, same.stdout + same.stderr);
}

async function runPod(t: Context): Promise<void> {
  const namespace = await t.namespace('kubectl');
  await t.kubectlOk(['run', 'a-pod', '-n', namespace, '--restart=Never', `--image=${IMAGE}`]);
  const pod = await t.core('pods', namespace).get('a-pod');
  includes(pod.spec, { restartPolicy: 'Never' });
  assert.equal(pod.spec.containers[0].image, IMAGE);
}

async function dryRun(t: Context): Promise<void> {
  const namespace = await t.namespace('kubectl');
  await t.kubectlOk(['run', 'a-pod', '-n', namespace, `--image=${IMAGE}`, '--labels=run=a-pod']);
  const patch = { spec: { containers: [{ name: 'a-pod', image: 'busybox:other' }] } };
  const args = [
    'patch',
    'pod',
    'a-pod',
    '-n',
    namespace,
    '-p',
    JSON.stringify(patch),
    '--dry-run=server',
    '-o',
    'json',
  ];
  const answer: Json = JSON.parse(await t.kubectlOk(args));
  assert.equal(answer.spec.containers[0].image, 'busybox:other');
  const pod = await t.core('pods', namespace).get('a-pod');
  assert.equal(pod.spec.containers[0].image, IMAGE);
}

/** The body of a GET over `kubectl proxy`. */
async function through(where: { port: number } | { socketPath: string }, path: string): Promise<Json> {
  const sent = request({ host: '127.0.0.1', ...where, path });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
  return JSON.parse(text);
}

async function proxied(t: Context, ...flags: string[]): Promise<() => string> {
  const child = (await t.kubectlTools()).start(['proxy', ...flags]);
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  t.cleanup(async () => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  await eventually('kubectl proxy to listen', () => Promise.resolve(said.includes('Starting to serve on')));
  return () => said;
}

async function proxyPortZero(t: Context): Promise<void> {
  const said = await proxied(t, '-p', '0', '--disable-filter');
  const port = Number(/Starting to serve on 127\.0\.0\.1:(\d+)/.exec(said())?.[1]);
  const { versions } = await through({ port }, '/api/');
  assert.ok(versions.includes('v1'));
}

async function proxySocket(t: Context): Promise<void> {
  const socketPath = join((await t.kubectlTools()).home, 'proxy.sock');
  await proxied(t, `--unix-socket=${socketPath}`);
  const { versions } = await through({ socketPath }, '/api/');
  assert.ok(versions.includes('v1'));
}

export const rows: Rows = {
  'cli-api-versions': async (t) => {
    assert.ok((await t.kubectlOk(['api-versions'])).split('\n').includes('v1'));
  },
  'cli-cluster-info': async (t) => {
    // Its words are coloured.
    // eslint-disable-next-line no-control-regex
    const text = (await t.kubectlOk(['cluster-info'])).replaceAll(/\u001B\[[\d;]*m/g, '');
    assert.match(text, /Kubernetes control plane is running at https?:\/\//);
  },
  'cli-version': async (t) => {
    assert.match(await t.kubectlOk(['version']), /Client Version: v?1\.\d+[\s\S]*Server Version: v?1\.\d+/);
    const { clientVersion, serverVersion } = JSON.parse(await t.kubectlOk(['version', '-o', 'json'])) as Json;
    for (const version of [clientVersion, serverVersion]) {
      for (const field of ['major', 'minor', 'gitVersion', 'platform']) assert.ok(version[field], field);
    }
  },
  'cli-diff': diff,
  'cli-run': runPod,
  'cli-dryrun': dryRun,
  'cli-proxy-port0': proxyPortZero,
  'cli-proxy-socket': proxySocket,
};

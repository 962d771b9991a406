/** The real kubectl, of several versions, against peers that are not the pod's node; and manifests that are wrong. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { useCluster } from './harness/cluster.js';
import { must } from './harness/command.js';
import { kubectlOf } from './harness/kubectl.js';
import { eventually } from './harness/wait.js';
import { loudlySkipped } from './harness/report.js';

const VERSIONS = ['1.27', '1.28', '1.29', '1.30', '1.31', '1.32', '1.33'];
/** The oldest, the first to speak only WebSocket, and the newest. */
const STREAMING = ['1.27', '1.30', '1.33'];

const manifest = (name: string, more = '') => `apiVersion: v1
kind: ConfigMap
metadata:
  name: ${name}
data: { a: "1" }
${more}`;

describe('kubectl through any peer', function () {
  this.timeout(60_000);
  const cluster = useCluster(2);
  const present = VERSIONS.filter((version) => kubectlOf(version));

  before('a pod runs on h1', async function () {
    if (present.length === 0) {
      loudlySkipped('there is no kubectl.1.27 ... kubectl.1.33 on this machine');
      this.skip();
    }
    const api = await cluster.api(1);
    await api.call('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name: 'talker' },
      spec: {
        nodeName: 'h1',
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: 'c',
            image: 'busybox:1.36',
            command: [
              'sh',
              '-c',
              'echo one; echo two; mkdir -p www; echo served >www/index.html; busybox httpd -f -p 8080 -h www',
            ],
          },
        ],
      },
    });
    await eventually('the pod runs', 15_000, async () => {
      return (await api.get('/api/v1/namespaces/default/pods/talker')).status.phase === 'Running';
    });
  });

  const as = (version: string) => ({ program: kubectlOf(version) as string, timeoutMs: 20_000 });

  for (const version of present) {
    it(`${version} applies, shows, changes and deletes`, async () => {
      const name = `tool-${version.replace('.', '-')}`;
      const k = (host: number, args: string[], input = '') =>
        cluster.kubectlMust(host, args, { ...as(version), input });
      assert.equal(await k(1, ['apply', '-f', '-'], manifest(name)), `configmap/${name} created\n`);
      assert.equal(await k(2, ['apply', '-f', '-'], manifest(name)), `configmap/${name} unchanged\n`);
      assert.equal(
        await k(2, ['apply', '-f', '-'], manifest(name).replace('"1"', '"2"')),
        `configmap/${name} configured\n`,
      );
      assert.equal(await k(1, ['get', 'cm', name, '-o', 'jsonpath={.data.a}']), '2');
      assert.match(await k(2, ['get', 'nodes']), /^NAME +STATUS +ROLES +AGE +VERSION\nh1 +Ready/);
      assert.match(await k(2, ['describe', 'pod', 'talker']), /Node: +h1\/[\s\S]*Ready +True/);
      assert.equal(
        await k(1, ['create', 'configmap', `${name}-2`, '--from-literal=a=b']),
        `configmap/${name}-2 created\n`,
      );
      assert.equal(
        await k(2, ['delete', 'cm', name, `${name}-2`]),
        `configmap "${name}" deleted\nconfigmap "${name}-2" deleted\n`,
      );
    });
  }

  for (const version of STREAMING.filter((one) => present.includes(one))) {
    it(`${version} reads logs and runs commands in a pod of another peer`, async () => {
      const k = (args: string[], input = '') => cluster.kubectlMust(2, args, { ...as(version), input });
      assert.equal(await k(['logs', 'talker']), 'one\ntwo\n');
      assert.equal(await k(['logs', 'talker', '--tail=1']), 'two\n');
      assert.equal(await k(['exec', 'talker', '--', 'hostname']), 'talker\n');
      assert.equal(await k(['exec', '-i', 'talker', '--', 'cat'], 'over there\n'), 'over there\n');
      const { code } = await cluster.kubectl(2, ['exec', 'talker', '--', 'sh', '-c', 'exit 7'], as(version));
      assert.equal(code, 7);
    });
  }

  describe('with a manifest that is wrong', () => {
    const refused = async (host: number, args: string[], input: string) => {
      const version = present.at(-1) as string;
      const { code, stdout, stderr } = await cluster.kubectl(host, args, { ...as(version), input });
      assert.equal(code, 1, `ended with ${code}: ${stdout}`);
      return stderr.trim();
    };

    it('names an unknown field', async () => {
      const text = await refused(1, ['apply', '-f', '-'], `${manifest('wrong')}dat: { b: "2" }\n`);
      assert.match(
        text,
        /^Error from server \(BadRequest\): error when creating "STDIN": ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dat"$/,
      );
    });

    it('names the type that was expected', async () => {
      const text = await refused(2, ['create', '-f', '-'], manifest('wrong').replace('"1"', '1'));
      assert.match(
        text,
        /^Error from server \(BadRequest\): error when creating "STDIN": ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap\.data of type string$/,
      );
      const deployment =
        (await cluster.example('web.yaml')).split('\n---\n')[0]?.replace('replicas: 3', 'replicas: three') ?? '';
      assert.match(
        await refused(1, ['create', '-f', '-'], deployment),
        /Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec\.spec\.replicas of type int32/,
      );
    });

    it('asks for a name', async () => {
      const text = await refused(
        1,
        ['create', '-f', '-'],
        manifest('wrong').replace('  name: wrong\n', '  labels: {}\n'),
      );
      assert.match(text, /resource name may not be empty|name or generateName is required/);
      const answer = await (
        await cluster.api(2)
      ).send('POST', '/api/v1/namespaces/default/configmaps', { metadata: {} });
      assert.equal(answer.status, 422);
      assert.equal(
        answer.body.message,
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required',
      );
    });

    it('says that it exists already', async () => {
      await cluster.kubectlMust(1, ['create', '-f', '-'], {
        ...as(present.at(-1) as string),
        input: manifest('twice'),
      });
      const text = await refused(2, ['create', '-f', '-'], manifest('twice'));
      assert.equal(
        text,
        'Error from server (AlreadyExists): error when creating "STDIN": configmaps "twice" already exists',
      );
    });

    it('lists every value that is not allowed', async () => {
      const text = await refused(1, ['create', '-f', '-'], manifest('Not_A_Name'));
      assert.match(
        text,
        /^The ConfigMap "Not_A_Name" is invalid: metadata\.name: Invalid value: "Not_A_Name": a lowercase RFC 1123 subdomain must consist of/,
      );
    });

    it('refuses a body of 5 MB', async () => {
      const directory = await mkdtemp(join(tmpdir(), 'skein-large-'));
      try {
        const file = join(directory, 'large.yaml');
        await writeFile(file, manifest('large').replace('"1"', `"${'x'.repeat(5_000_000)}"`));
        const text = await refused(2, ['create', '-f', file], '');
        assert.match(text, /^Error from server \(RequestEntityTooLarge\)|Request entity too large: limit is 3145728/);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    });

    it('says that it is not YAML, and neither is it JSON', async () => {
      assert.match(await refused(1, ['apply', '-f', '-'], 'a: b: c: [\n'), /error converting YAML to JSON/);
      const answer = await (
        await cluster.api(2)
      ).send('POST', '/api/v1/namespaces/default/configmaps', 'not JSON at all');
      assert.equal(answer.status, 400);
      assert.match(
        answer.body.message,
        /^the object provided is unrecognized \(must be of type ConfigMap\): couldn't get version\/kind; json parse error: .* \(6e6f74204a534f4e20617420616c6c\)$/,
      );
    });
  });

  it('refuses what cannot be scheduled with a reason on the pod', async () => {
    const api = await cluster.api(2);
    await api.call('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name: 'giant' },
      spec: { containers: [{ name: 'c', image: 'busybox:1.36', resources: { requests: { cpu: '1000' } } }] },
    });
    await eventually('an Event explains it', 10_000, async () => {
      const events = await (
        await cluster.api(1)
      ).list('/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dgiant');
      return events.some(
        ({ reason, message }) =>
          reason === 'FailedScheduling' && message.startsWith('0/2 nodes are available: 2 Insufficient cpu.'),
      );
    });
    await api.call('DELETE', '/api/v1/namespaces/default/pods/giant');
  });

  it('runs an imported image on every node', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'skein-image-'));
    try {
      const file = join(directory, 'image.tar');
      await cluster.lab.docker(1, 'tag', 'busybox:1.36', 'example.test/own/tool:7');
      await cluster.lab.docker(1, 'save', '-o', file, 'example.test/own/tool:7');
      await cluster.lab.docker(1, 'rmi', 'example.test/own/tool:7');
      const agent = cluster.agent(1);
      const { program, args, env } = agent.skein('image', 'import', file, '--data-dir', agent.dataDir);
      await must(program, args, { env });
      const api = await cluster.api(2);
      for (const node of ['h1', 'h2']) {
        await api.call('POST', '/api/v1/namespaces/default/pods', {
          metadata: { name: `own-${node}` },
          spec: {
            nodeName: node,
            terminationGracePeriodSeconds: 0,
            containers: [
              {
                name: 'c',
                image: 'example.test/own/tool:7',
                imagePullPolicy: 'IfNotPresent',
                command: ['sleep', '600'],
              },
            ],
          },
        });
      }
      for (const node of ['h1', 'h2']) {
        await eventually(`the image runs on ${node}`, 20_000, async () => {
          return (await api.get(`/api/v1/namespaces/default/pods/own-${node}`)).status.phase === 'Running';
        });
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});

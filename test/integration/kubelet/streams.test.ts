/** exec, cp and logs with kubectls of several ages: SPDY up to 1.29, WebSocket from 1.30. */
import './lab-name.js';
import assert from 'node:assert/strict';
import { useCluster } from '../../e2e/harness/cluster.js';
import { kubectlOf } from '../../e2e/harness/kubectl.js';
import { eventually } from '../../e2e/harness/wait.js';

const MEGABYTES_6 = 6_000_000;

describe('streams of a kubelet', function () {
  this.timeout(60_000);
  const cluster = useCluster(1);

  before('a pod to talk to', async function () {
    this.timeout(60_000);
    if (cluster.agents.length === 0) return;
    const api = await cluster.api(1);
    await api.call('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name: 'talk' },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [
          { name: 'c', image: 'busybox:skein', command: ['sh', '-c', 'echo first; echo second; sleep 600'] },
        ],
      },
    });
    await eventually('it runs', 40_000, async () => {
      const { status } = await api.get('/api/v1/namespaces/default/pods/talk');
      return status.phase === 'Running';
    });
  });

  for (const version of ['1.27', '1.30', '1.33']) {
    describe(`with kubectl ${version}`, () => {
      const program = kubectlOf(version);
      before(function () {
        if (program === undefined) this.skip();
      });
      const kubectl = (args: readonly string[], input?: string) =>
        cluster.kubectl(1, args, {
          ...(program === undefined ? {} : { program }),
          ...(input === undefined ? {} : { input }),
          timeoutMs: 20_000,
        });

      it('tells output, errors and exit code apart', async () => {
        const script = 'echo out; echo err >&2; exit 7';
        const { code, stdout, stderr } = await kubectl(['exec', 'talk', '--', 'sh', '-c', script]);
        assert.equal(stdout, 'out\n');
        assert.match(stderr, /^err\n/);
        assert.equal(code, 7);
      });

      it('carries 6 MB in, to its end', async () => {
        const { code, stdout } = await kubectl(['exec', '-i', 'talk', '--', 'wc', '-c'], 'x'.repeat(MEGABYTES_6));
        assert.deepEqual([code, stdout.trim()], [0, String(MEGABYTES_6)]);
      });

      it('carries 6 MB out, to its end', async () => {
        const script = `head -c ${MEGABYTES_6} /dev/zero | tr '\\0' a`;
        const { code, stdout } = await kubectl(['exec', 'talk', '--', 'sh', '-c', script]);
        assert.deepEqual([code, stdout.length], [0, MEGABYTES_6]);
      });

      it('ends when the command does, though input is left', async () => {
        const { code, stdout } = await kubectl(['exec', '-i', 'talk', '--', 'head', '-n', '1'], 'a\n'.repeat(100_000));
        assert.deepEqual([code, stdout], [0, 'a\n']);
      });

      it('reads the end of a log', async () => {
        assert.equal((await kubectl(['logs', 'talk', '--tail=1'])).stdout, 'second\n');
      });
    });
  }
});

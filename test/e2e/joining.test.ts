/** Who may join, and what an agent says when it cannot start. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Api } from './harness/api.js';
import { useCluster } from './harness/cluster.js';
import { run, type Result } from './harness/command.js';
import { eventually } from './harness/wait.js';

describe('joining a cluster', function () {
  this.timeout(60_000);
  const cluster = useCluster(2, { agents: false });

  before('the first agent founds', async () => {
    await cluster.agent(1).start();
    await cluster.ready(1);
  });

  /** Runs an agent on a host in a data directory, to its end, which is expected soon. */
  const agentEnds = (host: number, dataDir: string, ...flags: string[]): Promise<Result> => {
    const agent = cluster.agent(host);
    const { program, args, env } = agent.skein('agent', ...agent.flags(dataDir), ...flags);
    return run(program, args, { env, timeoutMs: 30_000 });
  };
  const assertOneLine = ({ code, stderr }: Result, expected: RegExp) => {
    assert(code !== 0 && code !== 124, `ended with ${code}: ${stderr}`);
    const lines = stderr
      .trim()
      .split('\n')
      .filter((line) => !/^\d{4}-\d\d-\d\dT\S+ [A-Z]+ /.test(line));
    assert.equal(lines.length, 1, `one line, not:\n${stderr}`);
    assert.match(lines[0] ?? '', expected);
  };
  const fresh = async (use: (dataDir: string) => Promise<void>) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'skein-joining-'));
    try {
      await use(dataDir);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  };

  it('refuses an expired token', async () => {
    const token = await cluster.agent(1).createToken('--ttl', '1s');
    await sleep(1_100);
    await fresh(async (dataDir) =>
      assertOneLine(await agentEnds(2, dataDir, '--join', token), /token.*expired|expired.*token/i),
    );
  });

  it('refuses a token that was altered', async () => {
    const token = await cluster.agent(1).createToken();
    const altered = `${token.slice(0, -4)}${token.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`;
    await fresh(async (dataDir) => assertOneLine(await agentEnds(2, dataDir, '--join', altered), /token/i));
  });

  it('says when nobody answers at the addresses of a token', async function () {
    const token = await cluster.agent(1).createToken();
    await cluster.lab.cut(1);
    try {
      await fresh(async (dataDir) =>
        assertOneLine(
          await agentEnds(2, dataDir, '--join', token),
          new RegExp(cluster.agent(1).address.replaceAll('.', '\\.')),
        ),
      );
    } finally {
      await cluster.lab.heal(1);
    }
  });

  it('refuses a second agent on the data directory of one that runs', async () => {
    const result = await agentEnds(
      1,
      cluster.agent(1).dataDir,
      '--api-port',
      '7001',
      '--p2p-port',
      '7002',
      '--kubelet-port',
      '7003',
      '--read-only-port',
      '0',
    );
    assertOneLine(result, /data directory|in use|already/i);
    await cluster.ready(1);
  });

  it('says which port is taken', async () => {
    await fresh(async (dataDir) =>
      assertOneLine(await agentEnds(1, dataDir), /port|address already in use|EADDRINUSE/i),
    );
  });

  it('says when there is no Docker', async () => {
    await fresh(async (dataDir) => {
      const result = await agentEnds(2, dataDir, '--docker-host', 'unix:///nowhere/docker.sock');
      assertOneLine(result, /docker/i);
    });
  });

  it('joins with a good token, and comes back without one', async () => {
    const token = await cluster.agent(1).createToken();
    await cluster.agent(2).start('--join', token);
    await cluster.allReady();
    await cluster.agent(2).kill();
    await cluster.agent(2).start();
    await cluster.allReady();
  });

  it('refuses the data directory of another cluster', async () => {
    // The token of a cluster that is not the one of h2's data directory.
    await fresh(async (dataDir) => {
      const agent = cluster.agent(2);
      const ports = [
        '--api-port',
        '7001',
        '--p2p-port',
        '7002',
        '--kubelet-port',
        '7003',
        '--read-only-port',
        '0',
        '--runtime',
        'fake',
        '--proxy-mode',
        'none',
      ];
      const { program, args, env } = agent.skein('agent', ...agent.flags(dataDir), ...ports);
      const { spawn } = await import('node:child_process');
      const other = spawn(program, args, { env: { ...process.env, ...env }, stdio: 'ignore' });
      try {
        const { value: token } = await eventually('the other cluster makes a token', 20_000, async () => {
          const made = agent.skein('token', 'create', '--data-dir', dataDir);
          const { code, stdout } = await run(made.program, made.args, { env: made.env });
          return code === 0 && stdout.trim();
        });
        assertOneLine(
          await agentEnds(1, cluster.agent(1).dataDir, '--join', token),
          /another cluster|other cluster|different cluster/i,
        );
      } finally {
        other.kill('SIGKILL');
      }
    });
  });

  it('keeps strangers out of the mesh and the API', async () => {
    const { address, kubeconfig } = cluster.agent(1);
    // Who does not speak the cluster's protocol is dropped without a word of its own.
    const received = await new Promise<number>((resolve) => {
      let bytes = 0;
      const socket = connect(7443, address, () => socket.write('GET / HTTP/1.0\r\n\r\n'));
      socket.on('data', (chunk) => (bytes += chunk.length));
      socket.on('close', () => resolve(bytes)).on('error', () => undefined);
      socket.setTimeout(10_000, () => socket.destroy());
    });
    assert(received < 200, `received ${received} bytes`);
    // And a client without a certificate may only look at what is public.
    const curl = (path: string) =>
      run('curl', ['-sk', '-o', '/dev/null', '-w', '%{http_code}', `https://${address}:6443${path}`]);
    assert.equal((await curl('/api/v1/namespaces')).stdout, '403');
    assert.equal((await curl('/skein/v1/status')).stdout, '403');
    assert.equal((await curl('/livez')).stdout, '200');
    // An unknown authority's certificate does not authenticate.
    const api = await Api.open(kubeconfig, address);
    assert.equal((await api.send('GET', '/api/v1/namespaces')).status, 200);
    api.close();
    assert.equal((await (await cluster.api(1)).list('/api/v1/nodes')).length, 2);
  });
});

/** A machine is removed for good: nobody talks to it, nothing it has counts any more, and it may come back only as another. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './harness/lab.js';
import { localAgents, startTogether, type LocalAgent } from './harness/local-agent.js';
import { dump } from './harness/report.js';
import { eachGoesOn } from './harness/steps.js';
import { eventually } from './harness/wait.js';
import type { Json } from './harness/api.js';

const MAIN = join(ROOT, 'dist/cli/main.js');
const WAIT_MS = 120_000;

describe('a removed peer', function () {
  this.timeout(300_000);
  let folder: string;
  let agents: LocalAgent[];

  const agent = (n: number): LocalAgent => {
    const one = agents[n - 1];
    assert(one, `there is no agent ${n}`);
    return one;
  };
  const namesOf = (items: readonly Json[]) => items.map(({ name }): string => name).toSorted();

  before('three agents', async () => {
    assert(existsSync(MAIN), 'there is no build: run scripts/setup first');
    folder = await mkdtemp(join(tmpdir(), 'skein-removal-'));
    agents = await localAgents(3, folder);
    await startTogether(MAIN, agents);
    // Known to all: who has not been brought over yet cannot read that it was removed.
    for (const one of agents) {
      await eventually(`all to be registered at ${one.name}`, WAIT_MS, async () => {
        const { registered } = await one.status();
        return registered.length === 3;
      });
    }
  });

  eachGoesOn();

  after(async function () {
    const failed = this.test?.parent?.tests.some((test) => test.isFailed());
    for (const one of agents ?? []) {
      if (failed) dump(`--- ${one.name}\n${await one.lastLines(30)}`);
      await one.kill();
    }
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  /** What a peer answers to whom shows the certificate of another's data directory. */
  async function statusWithCertificateOf(owner: LocalAgent, at: LocalAgent): Promise<number> {
    const pem = await readFile(join(owner.dataDir, 'pki/node.pem'), 'utf8');
    const { peer: host, port } = await at.open();
    return new Promise((resolve, reject) => {
      const tls = { cert: pem, key: pem, rejectUnauthorized: false, agent: false };
      const sent = request({ host, port, path: `/api/v1/nodes/${owner.name}`, ...tls }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      sent.on('error', reject).end();
    });
  }

  it('ends, is missed by nobody, and its certificate counts no more', async () => {
    assert.equal(await statusWithCertificateOf(agent(3), agent(1)), 200);
    assert.equal(await agent(1).skein(MAIN, 'peer', 'remove', 'peer-3'), 'peer "peer-3" removed; 2 registered');
    await eventually('the removed agent to end', WAIT_MS, () => Promise.resolve(!agent(3).running));
    assert.match(await agent(3).log, /this machine was removed from the cluster; to bring it back, empty .* new token/);
    for (const one of [agent(1), agent(2)]) {
      await eventually(`${one.name} to forget it`, WAIT_MS, async () => {
        const { peers, registered, warnings } = await one.status();
        const known = [namesOf(peers), namesOf(registered)].every((names) => names.join() === 'peer-1,peer-2');
        // That its dials are refused is said for as long as it dials, and half a minute more.
        return known && warnings.every((text: string) => / is refused: removed from the cluster/.test(text));
      });
      assert.equal(await statusWithCertificateOf(agent(3), one), 401);
    }
  });

  it('does not start again with what it has', async () => {
    const { code, stderr } = await agent(3).runToEnd(MAIN);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /this machine was removed from the cluster/);
  });

  it('comes back with an empty data directory and a new token, under its old name', async () => {
    await rm(agent(3).dataDir, { recursive: true });
    await agent(3).start(MAIN, '--join', await agent(2).skein(MAIN, 'token', 'create'));
    await Promise.all(agents.map((one) => one.ready(3)));
    await eventually('it to be registered', WAIT_MS, async () => {
      const { registered } = await agent(1).status();
      return registered.length === 3;
    });
    assert.equal(await statusWithCertificateOf(agent(3), agent(1)), 200);
  });

  it('that was away when it was removed is refused, and both sides say so', async () => {
    await agent(2).stop();
    await eventually('its absence to be noticed', WAIT_MS, async () => {
      const { view } = await agent(1).status();
      return view?.voters.length === 2;
    });
    await agent(1).skein(MAIN, 'peer', 'remove', 'peer-2');
    // What was removed is known after a restart as well.
    await agent(1).stop();
    await agent(1).start(MAIN);
    await Promise.all([agent(1), agent(3)].map((one) => one.ready(2)));
    await agent(2).start(MAIN);
    await eventually('the removed peer to be told', WAIT_MS, async () => {
      const { warnings } = await agent(2).status();
      return warnings.some((text: string) => /refuses this one: removed from the cluster/.test(text));
    });
    const { warnings, peers } = await agent(1).status();
    assert(
      warnings.some((text: string) => /is refused: removed from the cluster/.test(text)),
      warnings.join('\n'),
    );
    assert.deepEqual(namesOf(peers), ['peer-1', 'peer-3']);
    assert.match(await agent(1).log, /WARN +refused a peer/);
  });
});

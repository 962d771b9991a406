/** A cluster is taken from this build to the next one peer by peer, while clients write and watch. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Json } from './harness/api.js';
import { ConfigMapWatch } from './harness/config-map-watch.js';
import { ROOT } from './harness/lab.js';
import { localAgents, startTogether, type LocalAgent } from './harness/local-agent.js';
import { dump } from './harness/report.js';
import { eachGoesOn } from './harness/steps.js';
import { eventually } from './harness/wait.js';
import { describeFailures, WriteLoad } from './harness/write-load.js';
import { makeNextBuild } from './upgrade/next-build.js';

const THIS_BUILD = join(ROOT, 'dist/cli/main.js');
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

describe('a rolling upgrade', function () {
  this.timeout(300_000);
  let folder: string;
  let next: Awaited<ReturnType<typeof makeNextBuild>>;
  let agents: LocalAgent[];
  const written: string[] = [];
  let watch: ConfigMapWatch;

  const agent = (n: number): LocalAgent => {
    const one = agents[n - 1];
    assert(one, `there is no agent ${n}`);
    return one;
  };

  before('three agents of this build', async () => {
    assert(existsSync(THIS_BUILD), 'there is no build: run scripts/setup first');
    folder = await mkdtemp(join(tmpdir(), 'skein-upgrade-'));
    next = await makeNextBuild();
    agents = await localAgents(3, folder);
    await startTogether(THIS_BUILD, agents);
    watch = new ConfigMapWatch('default');
    await watch.from(await agent(2).open());
  });

  eachGoesOn();

  after(async function () {
    const failed = this.test?.parent?.tests.some((test) => test.isFailed());
    if (failed) for (const one of agents) dump(`--- ${one.name}\n${await one.lastLines(40)}`);
    watch?.stop();
    await Promise.all((agents ?? []).map((one) => one.kill()));
    for (const path of [folder, next?.folder]) if (path) await rm(path, { recursive: true, force: true });
  });

  /** Restarts an agent with a build; meanwhile clients write at the others and watch at one of them. */
  async function restart(n: number, main: string): Promise<void> {
    const others = agents.filter((one) => one !== agent(n));
    const apis = await Promise.all(others.map((one) => one.open()));
    await watch.moveTo(apis[0] as (typeof apis)[number]);
    const prefix = `w${written.length}`;
    const load = new WriteLoad(apis, 'default', 20, prefix);
    load.start();
    try {
      await agent(n).stop();
      await agent(n).start(main);
      await Promise.all(agents.map((one) => one.ready(3)));
    } finally {
      const report = await load.stop();
      assert.equal(report.failed.length, 0, describeFailures(report));
      written.push(...report.notes.map(({ name }) => name));
    }
    await eventually('the watch to have seen all writes', 60_000, async () =>
      Promise.resolve(written.every((name) => watch.count(name) > 0)),
    );
  }

  const levels = async () => Promise.all(agents.map(async (one) => (await one.status()).level as number));

  it('serves every write through the other peers, with builds mixed, and one going back', async () => {
    await restart(1, next.main);
    await restart(2, next.main);
    const { peers } = await agent(3).status();
    const seen = peers.map(({ name, formats, build }: Json) => [name, formats.newest, build]);
    assert.deepEqual(seen.toSorted(), [
      ['peer-1', 2, 'next'],
      ['peer-2', 2, 'next'],
      ['peer-3', 1, undefined],
    ]);
    await restart(2, THIS_BUILD);
    await restart(3, next.main);
    assert.deepEqual(await levels(), [1, 1, 1]);
  });

  it('writes the new format when the last peer knows it', async () => {
    await restart(2, next.main);
    await eventually('the level to rise everywhere', 60_000, async () =>
      (await levels()).every((level) => level === 2),
    );
    await restart(1, next.main);
  });

  it('has lost nothing, shown nothing twice, and dropped no message', async () => {
    assert(written.length > 100, `${written.length} writes`);
    const lists = await Promise.all(agents.map(async (one) => (await one.open()).list(CONFIG_MAPS)));
    const [first, ...rest] = lists.map((items) =>
      items.map(({ metadata }) => [metadata.name, metadata.resourceVersion]),
    );
    for (const other of rest) assert.deepEqual(other, first);
    const names = new Set(first?.map(([name]) => name));
    assert.deepEqual(
      written.filter((name) => !names.has(name)),
      [],
    );
    assert.deepEqual(
      written.filter((name) => (watch.lists === 0 ? watch.count(name) !== 1 : watch.count(name) === 0)),
      [],
    );
    for (const one of agents) assert.doesNotMatch(await one.log, /could not be read|is damaged/);
  });

  it('refuses to go back afterwards, in one line, and leaves the store as it is', async () => {
    await agent(3).stop();
    const { code, stderr } = await agent(3).runToEnd(THIS_BUILD);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /the store has format 2, and this build of skein knows 1: .*newer build that wrote it/);
    await agent(3).start(next.main);
    await Promise.all(agents.map((one) => one.ready(3)));
  });

  it('refuses a machine whose build is too old to join', async () => {
    const token = await agent(1).skein(next.main, 'token', 'create');
    const [stranger] = await localAgents(1, folder, 'old');
    const { code, stderr } = await (stranger as LocalAgent).runToEnd(THIS_BUILD, '--join', token);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /knows format 1 and the cluster is at level 2: upgrade it/);
  });
});

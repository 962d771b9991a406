/**
 * The subcommands of kubectl that need no container, by the oldest and the newest version: texts, columns and exit codes as
 * of Kubernetes. One cluster for each version; the groups build on each other.
 */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.js';
import { CONFIGMAPS, DEPLOYMENTS, PODS } from '../../../src/api/resource.js';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { play, type Step } from './kubectl-script.js';
import { ACCESS, CHANGING, DELETING, DISCOVERY, POD, READING, WRITING } from './kubectl-sessions.js';

const READY = [
  { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable' },
  { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' },
];

for (const kubectl of KUBECTLS) {
  describe(`the commands of kubectl ${kubectl.version}`, function () {
    this.timeout(60_000);
    let cluster: TestCluster;
    let directory: string;
    const steps = (list: readonly Step[]) => play(cluster, kubectl, list);

    before(async function () {
      if (!isPresent(kubectl.path)) {
        process.stderr.write(`      SKIPPED: ${kubectl.path} is not installed\n`);
        this.skip();
      }
      cluster = await startCluster();
      directory = await mkdtemp(join(tmpdir(), 'skein-editor-'));
    });
    after(async () => {
      await cluster?.stop();
      if (directory) await rm(directory, { recursive: true, force: true });
    });

    it('apply, diff, create and replace', () => steps(WRITING));
    it('patch, label, annotate, set, scale, autoscale, expose and run', () => steps(CHANGING));
    it('get, describe and events', () => steps(READING));
    it('auth, certificate and create token', () => steps(ACCESS));
    it('api-resources, explain, version, cluster-info and completion', () => steps(DISCOVERY));

    it('edit, and what it says of a mistake', async () => {
      const editor = async (name: string, change: string) => {
        const file = join(directory, name);
        await writeFile(file, `#!/bin/sh\nsed -i '${change}' "$1"\n`);
        await chmod(file, 0o755);
        return { EDITOR: file };
      };
      const three = await editor('three', 's/  replicas: 2/  replicas: 3/');
      await steps([
        { run: 'edit deploy web', env: three, out: 'deployment.apps/web edited\n' },
        { run: 'edit deploy web', env: three, err: 'Edit cancelled, no changes made.\n' },
        {
          run: 'edit deploy web',
          env: await editor('wrong', 's/  replicas: 3/  replicas: -3/'),
          code: 1,
          err: /^error: deployments\.apps "web" is invalid\n/,
        },
        {
          run: 'apply edit-last-applied deploy web',
          env: await editor('last', 's/replicas: 2/replicas: 3/'),
          out: 'deployment.apps/web edited\n',
        },
      ]);
    });

    it('rollout and wait', async () => {
      await steps([
        { run: 'rollout pause deploy web', out: 'deployment.apps/web paused\n' },
        { run: 'rollout pause deploy web', code: 1, err: 'error: deployments.apps "web" is already paused\n' },
        {
          run: 'rollout restart deploy web',
          code: 1,
          err: 'error: deployments.apps "web" can\'t restart paused deployment (run rollout resume first)\n',
        },
        { run: 'rollout resume deploy web', out: 'deployment.apps/web resumed\n' },
        { run: 'rollout resume deploy web', code: 1, err: 'error: deployments.apps "web" is not paused\n' },
        { run: 'rollout restart deploy web', out: 'deployment.apps/web restarted\n' },
        {
          run: 'wait deploy/web --for=condition=Available --timeout=1s',
          code: 1,
          err: 'error: timed out waiting for the condition on deployments/web\n',
        },
        { run: 'wait cm/absent --for=delete --timeout=5s', out: '' },
        {
          run: 'wait pod/absent --for=condition=Ready --timeout=1s',
          code: 1,
          err: 'Error from server (NotFound): pods "absent" not found\n',
        },
        { run: 'wait cm/settings --for=create --timeout=5s', out: 'configmap/settings condition met\n', since: 31 },
      ]);
      const rolledOut = cluster.kubectl(kubectl.path, ['rollout', 'status', 'deploy', 'web', '--timeout=20s']);
      const available = cluster.kubectl(kubectl.path, ['wait', 'deploy/web', '--for=condition=Available']);
      const jsonpath = cluster.kubectl(kubectl.path, ['wait', 'deploy/web', '--for=jsonpath={.status.replicas}=3']);
      const created = cluster.kubectl(kubectl.path, ['wait', 'cm/late', '--for=jsonpath={.data.a}=b', '--timeout=1s']);
      assert.match((await created).stderr, /configmaps "late" not found/);
      const now = await cluster.client.get(DEPLOYMENTS, 'default', 'web');
      await cluster.client.patch(
        DEPLOYMENTS,
        'default',
        'web',
        'merge',
        {
          status: {
            observedGeneration: now.metadata.generation,
            replicas: 3,
            updatedReplicas: 3,
            readyReplicas: 3,
            availableReplicas: 3,
            conditions: READY,
          },
        },
        { subresource: 'status' },
      );
      assert.match((await rolledOut).stdout, /deployment "web" successfully rolled out\n$/);
      assert.equal((await available).stdout, 'deployment.apps/web condition met\n');
      assert.equal((await jsonpath).stdout, 'deployment.apps/web condition met\n');
    });

    it('get --watch as a table, as objects and with the kinds of events', async () => {
      const follow = (args: string) => cluster.follow(kubectl.path, `get cm ${args}`.split(' '));
      const [table, names, events] = [
        follow('-w'),
        follow('-w -o name'),
        follow('-w --watch-only --output-watch-events'),
      ];
      const all = [table, names, events];
      try {
        // Until all three have started: what they show is of objects that are there when they do.
        for (let i = 0; all.some(({ output }) => !output.includes('live-')); i++) {
          assert.ok(i < 100, all.map(({ output }) => output).join('---\n'));
          await cluster.client.create(CONFIGMAPS, { metadata: { name: `live-${i}`, namespace: 'default' } });
          await systemClock.sleep(300);
        }
        await steps([
          { run: 'create cm last --from-literal=n=1', out: 'configmap/last created\n' },
          { run: 'label cm last seen=yes' },
          { run: 'delete cm last', out: /deleted/ },
        ]);
        await table.shows(/^NAME +DATA +AGE\n[\s\S]*\nlast +1 +\S+\n/);
        await names.shows(/configmap\/last\nconfigmap\/last\n/);
        await events.shows(/^EVENT +NAME +DATA +AGE\n[\s\S]*ADDED +last [\s\S]*MODIFIED +last [\s\S]*DELETED +last /);
      } finally {
        for (const each of all) each.end();
      }
    });

    it('logs, exec and their like of pods that do not run', async () => {
      await steps([
        { run: 'create -f -', input: POD.replaceAll('lone', 'idle'), out: 'pod/idle created\n' },
        { run: 'logs absent', code: 1, err: /pods "absent" not found/ },
        { run: 'logs idle -c absent', code: 1, err: 'error: container absent is not valid for pod idle\n' },
        { run: 'exec absent -- true', code: 1, err: 'Error from server (NotFound): pods "absent" not found\n' },
        { run: 'port-forward pod/absent 1:2', code: 1, err: 'Error from server (NotFound): pods "absent" not found\n' },
        {
          run: 'port-forward pod/idle 1:2',
          code: 1,
          err: 'error: unable to forward port because pod is not running. Current status=Pending\n',
        },
        {
          run: 'debug idle --image=busybox --target=c -c dbg --attach=false',
          out: /Targeting container "c"/,
        },
        { run: 'get pod idle -o jsonpath={.spec.ephemeralContainers[*].name}', out: 'dbg' },
        { run: 'debug idle --copy-to=copied --image=busybox -c dbg --attach=false', out: '' },
        { run: 'get pod copied -o jsonpath={.spec.containers[*].name}', out: 'c d dbg' },
      ]);
      for (const name of ['idle', 'copied'])
        await cluster.client.delete(PODS, 'default', name, { gracePeriodSeconds: 0 });
    });

    it('cordon, taint, drain and uncordon', async () => {
      await steps([
        { run: 'create -f -', input: 'apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n', out: 'node/n1 created\n' },
        { run: 'cordon n1', out: 'node/n1 cordoned\n' },
        { run: 'cordon n1', out: 'node/n1 already cordoned\n' },
        { run: 'get node n1 --no-headers', out: /^n1 +Unknown,SchedulingDisabled +<none> / },
        { run: 'uncordon n1', out: 'node/n1 uncordoned\n' },
        { run: 'taint nodes n1 a=b:NoSchedule', out: 'node/n1 tainted\n' },
        {
          run: 'taint nodes n1 a=b:NoSchedule',
          code: 1,
          err: 'error: node n1 already has a taint(s) with same effect(s) and --overwrite is false\n',
        },
        { run: 'taint nodes n1 a=c:NoSchedule --overwrite', out: 'node/n1 modified\n' },
        { run: 'taint nodes n1 a:NoSchedule-', out: 'node/n1 untainted\n' },
        { run: 'taint nodes n1 a:NoSchedule-', code: 1, err: /taint "a:NoSchedule" not found/ },
        {
          run: 'create -f -',
          input: POD.replaceAll('lone', 'resident').replace('spec: {', 'spec: {nodeName: n1, '),
          out: 'pod/resident created\n',
        },
        {
          run: 'drain n1',
          code: 1,
          out: 'node/n1 cordoned\n',
          err: /cannot delete Pods (?:that )?declare no controller \(use --force to override\): default\/resident/,
        },
        { run: 'drain n1 --force --dry-run=server', out: /drained \(server dry run\)\n$/ },
        { run: 'get pod resident -o name', out: 'pod/resident\n' },
        {
          run: 'drain n1 --force --grace-period=0 --timeout=10s',
          out: /^node\/n1 already cordoned\nevicting pod default\/resident\npod\/resident evicted\nnode\/n1 drained\n$/,
        },
        { run: 'describe node n1', out: /\nUnschedulable: +true\n[\s\S]*\nNon-terminated Pods: +\(0 in total\)\n/ },
      ]);
    });

    it('delete, in its modes', () => steps(DELETING));
  });
}

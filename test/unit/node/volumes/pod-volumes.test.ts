import assert from 'node:assert/strict';
import { mkdtemp, mkdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConfigMap, Pod, Volume } from '../../../../src/api/types/core-v1.js';
import { PodVolumes, resolveSubPath } from '../../../../src/node/volumes/pod-volumes.js';

const FACTS = { nodeName: 'a', hostIps: ['192.0.2.1'], podIps: [], allocatable: { cpu: '2' } };

describe('pod volumes', () => {
  let root: string;
  let map: ConfigMap | undefined;
  let volumes: PodVolumes;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'volumes-'));
    map = { metadata: { name: 'c', namespace: 'default' }, data: { one: '1', two: '2' } };
    const secret = { metadata: {}, data: { key: Buffer.from('hidden').toString('base64') } };
    volumes = new PodVolumes(
      {
        objects: {
          configMap: () => Promise.resolve(map),
          secret: () => Promise.resolve(secret),
          services: () => Promise.resolve([]),
        },
        tokens: { token: (_pod, _wanted, present) => Promise.resolve(present ?? 'fresh') },
      },
      { root, tmpfs: false },
    );
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  const pod = (...list: Volume[]): Pod => ({
    metadata: { name: 'p', namespace: 'default', uid: 'u-1', labels: { app: 'web' } },
    spec: { containers: [], volumes: list },
  });
  const mount = async (volume: Volume) => (await volumes.mount(pod(volume), FACTS)).get(volume.name)?.path ?? '';

  it('shows a ConfigMap as files and swaps all of them at once when it changes', async () => {
    const path = await mount({ name: 'v', configMap: { name: 'c' } });
    assert.match(path, /pods\/u-1\/volumes\/kubernetes\.io~configmap\/v$/);
    const before = await readlink(join(path, '..data'));
    assert.equal(await readFile(join(path, 'one'), 'utf8'), '1');
    await mount({ name: 'v', configMap: { name: 'c' } });
    assert.equal(await readlink(join(path, '..data')), before);
    map = { metadata: {}, data: { one: 'uno', three: '3' } };
    await mount({ name: 'v', configMap: { name: 'c' } });
    assert.notEqual(await readlink(join(path, '..data')), before);
    assert.equal(await readFile(join(path, 'one'), 'utf8'), 'uno');
    await assert.rejects(stat(join(path, 'two')));
  });

  it('picks items with their modes and projects several sources into one directory', async () => {
    const items = [{ key: 'one', path: 'deep/first', mode: 0o400 }];
    const downwardAPI = { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] };
    const path = await mount({
      name: 'v',
      projected: { sources: [{ configMap: { name: 'c', items } }, { secret: { name: 's' } }, { downwardAPI }] },
    });
    assert.equal((await stat(join(path, 'deep/first'))).mode & 0o777, 0o400);
    assert.equal(await readFile(join(path, 'key'), 'utf8'), 'hidden');
    assert.equal(await readFile(join(path, 'labels'), 'utf8'), 'app="web"');
  });

  it('says what is missing in upstream words', async () => {
    map = undefined;
    await assert.rejects(mount({ name: 'v', configMap: { name: 'c' } }), {
      message: 'MountVolume.SetUp failed for volume "v" : configmap "c" not found',
    });
    assert.ok(await mount({ name: 'v', configMap: { name: 'c', optional: true } }));
    await assert.rejects(
      mount({ name: 'v', hostPath: { path: join(root, 'no'), type: 'Directory' } }),
      /not a directory/,
    );
    await assert.rejects(mount({ name: 'v', nfs: { server: 'x', path: '/' } }), /no volume plugin matched/);
  });

  it('writes tokens for their user alone where that is known, and keeps one that is good', async () => {
    const projected = { sources: [{ serviceAccountToken: { path: 'token' } }], defaultMode: 0o644 };
    const mode = async (spec: Partial<NonNullable<Pod['spec']>>) => {
      const one = pod({ name: 'v', projected });
      one.spec = { ...one.spec, containers: [{ name: 'c' }], ...spec };
      one.metadata = { ...one.metadata, uid: `u-${JSON.stringify(spec).length}` };
      const path = (await volumes.mount(one, FACTS)).get('v')?.path ?? '';
      assert.equal(await readFile(join(path, 'token'), 'utf8'), 'fresh');
      await writeFile(join(path, 'token'), 'kept');
      await volumes.mount(one, FACTS);
      assert.equal(await readFile(join(path, 'token'), 'utf8'), 'kept');
      return (await stat(join(path, 'token'))).mode & 0o777;
    };
    assert.equal(await mode({}), 0o644);
    const user = process.getuid?.() ?? 0;
    const group = process.getgid?.() ?? 0;
    assert.equal(await mode({ securityContext: { runAsUser: user } }), 0o600);
    assert.equal(await mode({ securityContext: { runAsUser: user, fsGroup: group } }), 0o640);
    const containers = [{ name: 'a', securityContext: { runAsUser: user } }, { name: 'b' }];
    assert.equal(await mode({ containers }), 0o644);
  });

  it('refuses item paths that lead out of the volume', async () => {
    const items = [{ key: 'one', path: '../../evil' }];
    await assert.rejects(mount({ name: 'v', configMap: { name: 'c', items } }), /must be relative and not contain/);
  });

  it('makes a scratch directory for everybody and removes it with the pod', async () => {
    const path = await mount({ name: 'v', emptyDir: {} });
    assert.equal((await stat(path)).mode & 0o777, 0o777);
    await volumes.clean('u-1');
    await assert.rejects(stat(path));
    assert.deepEqual(await volumes.known(), []);
  });

  it('does not follow links out of a volume for a subPath', async () => {
    const path = await mount({ name: 'v', emptyDir: {} });
    await mkdir(join(root, 'outside'));
    await symlink(join(root, 'outside'), join(path, 'link'));
    await assert.rejects(resolveSubPath(path, 'link/x'), /not within volume path/);
    await assert.rejects(resolveSubPath(path, '../x'), /without '\.\.'/);
    assert.equal(await resolveSubPath(path, 'a/b'), join(path, 'a/b'));
  });
});

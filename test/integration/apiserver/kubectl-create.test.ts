/** kubectl's generators: what `kubectl create`, `run`, `expose`, `autoscale` and `explain` make of this server. */
import assert from 'node:assert/strict';
import { isPresent, KUBECTLS, startCluster, type TestCluster } from './cluster.js';

const CREATED: readonly string[] = [
  'create namespace ns',
  'create clusterrole cr --verb=get --resource=pods',
  'create clusterrolebinding crb --clusterrole=cr --user=anna',
  'create configmap cm --from-literal=a=b',
  'create deployment web --image=nginx --port=80',
  'create cronjob cj --image=busybox --schedule=*/5_*_*_*_*',
  'create job from-cj --from=cronjob/cj',
  'create job job --image=busybox',
  'create ingress ing --rule=example.com/*=web:80',
  'create poddisruptionbudget pdb --selector=app=web --min-available=50%',
  'create priorityclass pc --value=1000',
  'create quota quota --hard=pods=50,cpu=100',
  'create role role --verb=get,list --resource=pods',
  'create rolebinding rb --role=role --serviceaccount=default:sa',
  'create secret generic sec --from-literal=a=b',
  'create secret docker-registry reg --docker-username=u --docker-password=p --docker-server=s',
  'create service clusterip ci --tcp=80:80',
  'create service nodeport np --tcp=80:80',
  'create service loadbalancer lb --tcp=80:80',
  'create service externalname en --external-name=example.com',
  'create serviceaccount sa',
  'create token sa',
  'expose deployment web --port=80',
  'autoscale deployment web --max=3 --cpu-percent=60',
  'set resources deployment web --limits=cpu=1',
  'rollout restart deployment web',
  'run pod --image=nginx',
];

const EXPLAINED = [
  'pods.spec.containers',
  'hpa',
  'flowschemas.spec',
  'ingress.spec.rules',
  'events --api-version=events.k8s.io/v1',
];

describe('kubectl create', function () {
  this.timeout(90_000);
  for (const { path, version } of KUBECTLS.filter((one) => isPresent(one.path))) {
    it(`takes what the generators of ${version} make`, async () => {
      const cluster: TestCluster = await startCluster();
      try {
        for (const line of CREATED) {
          // The blanks of a cron schedule are no separators.
          const result = await cluster.kubectl(
            path,
            line.split(' ').map((part) => (part.startsWith('--schedule') ? part.replaceAll('_', ' ') : part)),
          );
          assert.equal(result.code, 0, `${line}: ${result.stderr}`);
        }
        for (const kind of EXPLAINED) {
          const result = await cluster.kubectl(path, ['explain', ...kind.split(' ')]);
          assert.equal(result.code, 0, `explain ${kind}: ${result.stderr}`);
          assert.match(result.stdout, /^(?:KIND|GROUP): /);
        }
        const hpa = await cluster.kubectl(path, [
          'get',
          'horizontalpodautoscalers.v1.autoscaling',
          'web',
          '-o',
          'yaml',
        ]);
        assert.match(hpa.stdout, /targetCPUUtilizationPercentage: 60/);
        const wide = await cluster.kubectl(path, ['get', 'hpa,ingress,quota,pdb,priorityclass', '-o', 'wide']);
        assert.match(wide.stdout, /web +Deployment\/web +(?:cpu: )?<unknown>\/60% +1 +3 +0 +/);
        assert.match(wide.stdout, /quota +cpu: 0\/100, pods: 0\/50 +|REQUEST +LIMIT +AGE/);
      } finally {
        await cluster.stop();
      }
    });
  }
});

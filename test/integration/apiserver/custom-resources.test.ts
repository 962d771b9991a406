import assert from 'node:assert/strict';
import { KUBECTLS, startCluster, type TestCluster } from './cluster.js';
import { kubectlRuns, skipWithout } from './kubectl-runs.js';

const CRONTABS = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
    - name: v1
      served: true
      storage: true
      subresources:
        status: {}
        scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
      additionalPrinterColumns:
        - {name: Spec, type: string, jsonPath: .spec.cronSpec, description: The cron spec}
        - {name: Replicas, type: integer, jsonPath: .spec.replicas, priority: 1}
        - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
      selectableFields: [{jsonPath: .spec.image}]
      schema:
        openAPIV3Schema:
          type: object
          description: A cron table
          properties:
            spec:
              type: object
              description: What is wanted
              required: [cronSpec]
              properties:
                cronSpec: {type: string, pattern: '^(\\S+\\s+){4}\\S+$', description: When}
                image: {type: string, default: busybox}
                replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
                port: {x-kubernetes-int-or-string: true}
                extra: {type: object, x-kubernetes-preserve-unknown-fields: true}
                template: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
                entries:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    required: [name]
                    properties: {name: {type: string}, value: {type: string, enum: [a, b]}}
            status:
              type: object
              properties: {replicas: {type: integer}, selector: {type: string}}
`;

const TAB = `apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: one}
spec: {cronSpec: "* * * * */5"}
`;

for (const { version, path } of KUBECTLS) {
  describe(`custom resources with kubectl ${version}`, function () {
    this.timeout(60_000);
    let cluster: TestCluster;
    const { run, ok, refused } = kubectlRuns(() => cluster, path);

    before(async function () {
      skipWithout(this, path);
      cluster = await startCluster();
    });
    after(async () => cluster?.stop());

    it('establishes a definition in the write itself', async () => {
      assert.match(await ok(['apply', '-f', '-'], CRONTABS), /crontabs.stable.example.com created/);
      await ok(['wait', '--for=condition=Established', 'crd/crontabs.stable.example.com', '--timeout=5s']);
      assert.match(await ok(['apply', '-f', '-'], CRONTABS), /unchanged/);
      assert.match(
        await ok(['api-resources', '--api-group=stable.example.com']),
        /crontabs +ct +stable.example.com\/v1 +true +CronTab/,
      );
    });

    it('defaults, validates and shows objects', async () => {
      assert.match(await ok(['apply', '-f', '-'], TAB), /crontab.stable.example.com\/one created/);
      assert.equal(await ok(['get', 'ct', 'one', '-o', 'jsonpath={.spec.image} {.spec.replicas}']), 'busybox 1');
      assert.match(await ok(['get', 'ct']), /NAME +SPEC +AGE\none +\* \* \* \* \*\/5 +\d+s/);
      assert.match(await ok(['get', 'crontab', '-o', 'wide']), /REPLICAS/);
      await refused(
        /spec\.replicas: Invalid value: "string": spec\.replicas in body must be of type integer: "string"/,
        ['apply', '-f', '-'],
        TAB.replace('{cronSpec', '{replicas: "two", cronSpec'),
      );
      await refused(
        /spec\.replicas: Invalid value: 11: spec\.replicas in body should be less than or equal to 10/,
        ['apply', '-f', '-'],
        TAB.replace('{cronSpec', '{replicas: 11, cronSpec'),
      );
      await refused(
        /spec\.cronSpec: Required value/,
        ['create', '--validate=false', '-f', '-'],
        TAB.replace('cronSpec', 'image').replace('one', 'two'),
      );
      await refused(
        /unknown field "spec\.foo"|unknown field "foo"/,
        ['create', '-f', '-'],
        TAB.replace('{cronSpec', '{foo: 1, cronSpec').replace('one', 'two'),
      );
      await refused(
        /spec\.entries\[0\]\.value: Unsupported value: "c": supported values: "a", "b"/,
        ['create', '-f', '-'],
        TAB.replace('{cronSpec', '{entries: [{name: x, value: c}], cronSpec').replace('one', 'two'),
      );
    });

    it('patches, scales and writes the status apart', async () => {
      await ok(['patch', 'ct', 'one', '--type=merge', '-p', '{"spec":{"image":"nginx"}}']);
      await ok([
        'patch',
        'ct',
        'one',
        '--subresource=status',
        '--type=merge',
        '-p',
        '{"status":{"replicas":1,"selector":"a=b"},"spec":{"image":"no"}}',
      ]);
      assert.equal(
        await ok(['get', 'ct', 'one', '-o', 'jsonpath={.spec.image} {.status.replicas} {.metadata.generation}']),
        'nginx 1 2',
      );
      await ok(['scale', 'ct/one', '--replicas=3']);
      assert.equal(await ok(['get', 'ct', 'one', '-o', 'jsonpath={.spec.replicas} {.metadata.generation}']), '3 3');
      assert.match(await ok(['get', 'ct', '--field-selector=spec.image=nginx', '-o', 'name']), /one/);
      assert.equal(await ok(['get', 'ct', '--field-selector=spec.image=apache', '-o', 'name']), '');
    });

    it('applies on the server, replaces and shows differences', async () => {
      const tab = TAB.replace('name: one', 'name: two');
      assert.match(await ok(['apply', '--server-side', '--field-manager=a', '-f', '-'], tab), /serverside-applied/);
      const entries = tab.replace('{cronSpec', '{entries: [{name: x, value: a}], cronSpec');
      await ok(['apply', '--server-side', '--field-manager=a', '-f', '-'], entries);
      const more =
        'apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: two}\nspec: {entries: [{name: second, value: b}]}\n';
      await ok(['apply', '--server-side', '--field-manager=b', '-f', '-'], more);
      assert.equal(await ok(['get', 'ct', 'two', '-o', 'jsonpath={.spec.entries[*].name}']), 'x second');
      await refused(
        /conflict with "a": \.spec\.cronSpec/,
        ['apply', '--server-side', '--field-manager=b', '-f', '-'],
        tab.replace('*/5', '*/6'),
      );
      const shown = await ok(['get', 'ct', 'two', '-o', 'yaml']);
      await ok(['replace', '-f', '-'], shown.replace('image: busybox', 'image: httpd'));
      assert.equal(await ok(['get', 'ct', 'two', '-o', 'jsonpath={.spec.image}']), 'httpd');
      const difference = await run(['diff', '-f', '-'], tab.replace('{cronSpec', '{image: other, cronSpec'));
      assert.match(difference.stdout + difference.stderr, /\+ +image: other|diff/);
    });

    it('publishes the schema', async () => {
      assert.match(await ok(['explain', 'ct.spec']), /cronSpec\s+<string>/);
      assert.match(await ok(['explain', 'ct']), /A cron table/);
      assert.match(await ok(['explain', 'crontabs', '--recursive']), /entries\s+<\[\]Object>/);
      await refused(/field "nothing" does not exist/, ['explain', 'ct.spec.nothing']);
    });

    it('removes the instances with the definition', async () => {
      await ok(['delete', 'crd', 'crontabs.stable.example.com', '--wait=false']);
      assert.match(
        await ok(['get', 'crd', 'crontabs.stable.example.com', '-o', 'yaml']),
        /customresourcecleanup.apiextensions.k8s.io/,
      );
    });
  });
}

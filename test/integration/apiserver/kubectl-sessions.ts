/** Sessions of kubectl that need no container, with what it prints of Kubernetes. Each goes on from the one before. */
import type { Step } from './kubectl-script.js';

const WEB = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: 'nginx:1', ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {a: b}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec: {selector: {app: web}, ports: [{port: 80}]}
`;
const SMALLER = WEB.split('---\n')
  .filter((part) => !part.includes('ConfigMap'))
  .join('---\n');
export const POD = `apiVersion: v1
kind: Pod
metadata: {name: lone, labels: {app: lone}}
spec: {containers: [{name: c, image: nginx}, {name: d, image: nginx}]}
`;

export const WRITING: readonly Step[] = [
  {
    run: 'apply -f -',
    input: WEB,
    out: 'deployment.apps/web created\nconfigmap/settings created\nservice/web created\n',
  },
  {
    run: 'apply -f -',
    input: WEB,
    out: 'deployment.apps/web unchanged\nconfigmap/settings unchanged\nservice/web unchanged\n',
  },
  {
    run: 'apply -f - --dry-run=server',
    input: WEB.replace('a: b', 'a: c'),
    out: 'deployment.apps/web unchanged (server dry run)\nconfigmap/settings configured (server dry run)\nservice/web unchanged (server dry run)\n',
  },
  { run: 'get cm settings -o jsonpath={.data.a}', out: 'b' },
  { run: 'diff -f -', input: WEB, out: '' },
  { run: 'diff -f -', input: WEB.replace('a: b', 'a: c'), code: 1, out: /\n- {2}a: b\n\+ {2}a: c\n/ },
  { run: 'diff --server-side -f -', input: WEB.replace('a: b', 'a: d'), code: 1, out: /\n\+ {2}a: d\n/ },
  { run: 'apply view-last-applied cm/settings', out: /^apiVersion: v1\ndata:\n {2}a: b\nkind: ConfigMap\n/ },
  {
    run: 'apply set-last-applied -f -',
    input: WEB.split('---\n')[1] ?? '',
    out: /^(?:set-last-applied settings: no changes required\.|configmap\/settings configured)\n$/,
  },
  {
    run: 'apply --server-side --field-manager=other -f -',
    input: WEB.replace('a: b', 'a: x'),
    code: 1,
    err: /Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using v1.*: \.data\.a\nPlease review the fields above/s,
  },
  {
    run: 'apply --server-side -f -',
    input: WEB,
    out: 'deployment.apps/web serverside-applied\nconfigmap/settings serverside-applied\nservice/web serverside-applied\n',
  },
  {
    run: 'apply --prune -l app=web --prune-allowlist=core/v1/ConfigMap -f -',
    input: SMALLER,
    out: /configmap\/settings pruned\n$/,
  },
  { run: 'create -f -', input: WEB.split('---\n')[1] ?? '', out: 'configmap/settings created\n' },
  {
    run: 'create -f -',
    input: WEB.split('---\n')[1] ?? '',
    code: 1,
    err: 'Error from server (AlreadyExists): error when creating "STDIN": configmaps "settings" already exists\n',
  },
  {
    run: 'replace -f -',
    input: (WEB.split('---\n')[1] ?? '').replace('a: b', 'a: r'),
    out: 'configmap/settings replaced\n',
  },
  {
    run: 'replace -f -',
    input: (WEB.split('---\n')[1] ?? '').replace('name: settings', 'name: absent'),
    code: 1,
    err: 'Error from server (NotFound): error when replacing "STDIN": configmaps "absent" not found\n',
  },
  {
    run: 'replace --force -f -',
    input: WEB.split('---\n')[1] ?? '',
    out: 'configmap "settings" deleted\nconfigmap/settings replaced\n',
  },
  {
    run: 'replace -f -',
    input: (WEB.split('---\n')[1] ?? '').replace('name: settings', 'name: settings, resourceVersion: "1"'),
    code: 1,
    err: 'Error from server (Conflict): error when replacing "STDIN": Operation cannot be fulfilled on configmaps "settings": the object has been modified; please apply your changes to the latest version and try again\n',
  },
];

export const CHANGING: readonly Step[] = [
  { run: `patch deploy web -p '{"spec":{"replicas":3}}'`, out: 'deployment.apps/web patched\n' },
  { run: `patch deploy web -p '{"spec":{"replicas":3}}'`, out: 'deployment.apps/web patched (no change)\n' },
  { run: `patch cm settings --type=merge -p '{"data":{"z":"1"}}'`, out: 'configmap/settings patched\n' },
  {
    run: `patch cm settings --type=json -p '[{"op":"test","path":"/data/z","value":"2"}]'`,
    code: 1,
    err: 'The request is invalid: the server rejected our request due to an error in our request\n',
  },
  {
    run: `patch deploy web --subresource=scale --type=merge -p '{"spec":{"replicas":4}}'`,
    out: 'scale.autoscaling/web patched\n',
  },
  {
    run: `patch deploy web --subresource=status --type=merge -p '{"status":{"collisionCount":1}}'`,
    out: 'deployment.apps/web patched\n',
  },
  {
    run: `patch deploy web -p '{"spec":{"replicas":"x"}}'`,
    code: 1,
    err: /^Error from server(?: \(BadRequest\))?: .*json: cannot unmarshal string into Go struct field DeploymentSpec\.spec\.replicas of type int32\n$/,
  },
  {
    run: `patch deploy web -p '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}'`,
    code: 1,
    err: /spec\.selector: Invalid value: v1\.LabelSelector\{MatchLabels:map\[string\]string\{"app":"x"\}, MatchExpressions:\[\]v1\.LabelSelectorRequirement\(nil\)\}: field is immutable\n$/,
  },
  {
    run: `patch deploy absent -p '{}'`,
    code: 1,
    err: 'Error from server (NotFound): deployments.apps "absent" not found\n',
  },
  { run: 'label deploy web tier=front', out: 'deployment.apps/web labeled\n' },
  {
    run: 'label deploy web tier=back',
    code: 1,
    err: "error: 'tier' already has a value (front), and --overwrite is false\n",
  },
  { run: 'label deploy web tier=back --overwrite', out: 'deployment.apps/web labeled\n' },
  { run: 'label deploy web tier-', out: 'deployment.apps/web unlabeled\n' },
  { run: 'label deploy web --list', out: 'app=web\n' },
  { run: 'annotate deploy web k=v', out: /^deployment\.apps\/web annotated?\n$/ },
  { run: 'annotate deploy web k-', out: /^deployment\.apps\/web annotated?\n$/ },
  { run: 'set image deploy/web c=nginx:2', out: 'deployment.apps/web image updated\n' },
  { run: 'set image deploy/web x=nginx:2', code: 1, err: 'error: unable to find container named "x"\n' },
  { run: 'set env deploy/web A=b', out: 'deployment.apps/web env updated\n' },
  { run: 'set env deploy/web --list', out: '# Deployment web, container c\nA=b\n' },
  { run: 'set env deploy/web A-', out: 'deployment.apps/web env updated\n' },
  {
    run: 'set resources deploy web --limits=cpu=1,memory=100Mi',
    out: 'deployment.apps/web resource requirements updated\n',
  },
  { run: 'set selector svc web app=other', out: 'service/web selector updated\n' },
  { run: 'create sa builder', out: 'serviceaccount/builder created\n' },
  { run: 'set serviceaccount deploy web builder', out: 'deployment.apps/web serviceaccount updated\n' },
  {
    run: 'create rolebinding rb --clusterrole=view --user=u',
    out: 'rolebinding.rbac.authorization.k8s.io/rb created\n',
  },
  { run: 'set subject rolebinding rb --group=g', out: 'rolebinding.rbac.authorization.k8s.io/rb subjects updated\n' },
  { run: 'get rolebinding rb -o wide --no-headers', out: /^rb +ClusterRole\/view +\S+ +u +g +\n$/ },
  { run: 'scale deploy web --replicas=2', out: 'deployment.apps/web scaled\n' },
  {
    run: 'scale deploy web --replicas=2 --current-replicas=7',
    code: 1,
    err: 'error: Expected replicas to be 7, was 2\n',
  },
  {
    run: 'autoscale deploy web --min=1 --max=3 --cpu-percent=50',
    out: 'horizontalpodautoscaler.autoscaling/web autoscaled\n',
  },
  { run: 'describe hpa web', out: /resource cpu on pods +\(as a percentage of request\): +<unknown> \/ 50%\n/ },
  { run: 'expose deploy web --port=8080 --name=web2', out: 'service/web2 exposed\n' },
  { run: 'expose svc web --port=81 --name=web3 --type=NodePort', out: 'service/web3 exposed\n' },
  { run: 'run lone --image=nginx --labels=app=lone', out: 'pod/lone created\n' },
  {
    run: 'run lone --image=nginx',
    code: 1,
    err: 'Error from server (AlreadyExists): pods "lone" already exists\n',
  },
];

export const READING: readonly Step[] = [
  {
    run: 'get deploy,svc,cm -o name',
    out: 'deployment.apps/web\nservice/web\nservice/web2\nservice/web3\nconfigmap/settings\n',
  },
  {
    run: 'get deploy web -o wide',
    out: /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/2 +0 +0 +\S+ +c +nginx:2 +app=web\n$/,
  },
  {
    run: 'get deploy web -L app --show-labels',
    out: /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +APP +LABELS\nweb .* web +app=web\n$/,
  },
  { run: 'get deploy web -o yaml', out: /^apiVersion: apps\/v1\nkind: Deployment\nmetadata:\n(?!.*managedFields)/s },
  {
    run: 'get deploy web -o yaml --show-managed-fields',
    out: /managedFields:\n {2}- apiVersion: apps\/v1\n {4}fieldsType: FieldsV1/,
  },
  { run: 'get deploy web -o json', out: /^\{\n {4}"apiVersion": "apps\/v1",\n {4}"kind": "Deployment",/ },
  { run: `get svc -o go-template='{{range .items}}{{.metadata.name}} {{end}}'`, out: 'web web2 web3 ' },
  { run: 'get svc web -o custom-columns=N:.metadata.name,T:.spec.type', out: 'N     T\nweb   ClusterIP\n' },
  {
    run: 'get svc --sort-by=.spec.ports[0].port --no-headers -o custom-columns=:.metadata.name',
    out: 'web\nweb3\nweb2\n',
  },
  { run: 'get svc -A -l app=web --chunk-size=1 -o name', out: 'service/web\nservice/web2\nservice/web3\n' },
  { run: 'get svc -l app=web --field-selector=metadata.name=web2 -o name', out: 'service/web2\n' },
  { run: 'get deploy web --subresource=scale -o jsonpath={.kind}:{.spec.replicas}', out: 'Scale:2' },
  { run: `create cronjob tick --image=busybox:1 --schedule='*/5 * * * *'`, out: 'cronjob.batch/tick created\n' },
  {
    run: 'get cj tick -o wide',
    out: /^NAME +SCHEDULE +TIMEZONE +SUSPEND +ACTIVE +LAST SCHEDULE +AGE +CONTAINERS +IMAGES +SELECTOR\ntick +\*\/5 \* \* \* \* +<none> +False +0 +<none> +\S+ +tick +busybox:1 +<none>\n$/,
  },
  {
    run: 'create -f -',
    input: `apiVersion: v1\nkind: ReplicationController\nmetadata: {name: old}\nspec: {replicas: 1, template: {metadata: {labels: {app: old}}, spec: {containers: [{name: c, image: nginx}]}}}\n`,
    out: 'replicationcontroller/old created\n',
  },
  {
    run: 'get rc -o wide',
    out: /^NAME +DESIRED +CURRENT +READY +AGE +CONTAINERS +IMAGES +SELECTOR\nold +1 +0 +0 +\S+ +c +nginx +app=old\n$/,
  },
  { run: 'delete rc old', out: /^replicationcontroller "old" deleted/ },
  { run: 'get componentstatuses', err: 'Warning: v1 ComponentStatus is deprecated in v1.19+\nNo resources found\n' },
  { run: 'get pods -l none=here', out: '', err: 'No resources found in default namespace.\n' },
  { run: 'get rc,sts -A', out: '', err: 'No resources found\n' },
  {
    run: 'get pods --field-selector=foo=bar',
    code: 1,
    err: 'Error from server (BadRequest): Unable to find "/v1, Resource=pods" that match label selector "", field selector "foo=bar": field label not supported: foo\n',
  },
  { run: 'get widgets', code: 1, err: 'error: the server doesn\'t have a resource type "widgets"\n' },
  { run: 'get pod absent', code: 1, err: 'Error from server (NotFound): pods "absent" not found\n' },
  { run: 'get --raw /healthz', out: 'ok' },
  { run: 'get --raw /readyz?verbose', out: /^\[\+\]ping ok\n[\s\S]*readyz check passed\n$/ },
  {
    run: 'get --raw /apis/absent.example.com',
    code: 1,
    err: 'Error from server (NotFound): the server could not find the requested resource\n',
  },
  {
    run: 'describe deploy web',
    out: /\nReplicas: +2 desired \| 0 updated \| 0 total \| 0 available \| 0 unavailable\n[\s\S]*\nEvents: +<none>\n$/,
  },
  {
    run: 'describe svc web2',
    out: /\nType: +ClusterIP\nIP Family Policy: +SingleStack\nIP Families: +IPv4\nIP: +10\.96/,
  },
  { run: 'describe ns default', out: /\nStatus: +Active\n\nNo resource quota\.\n\nNo LimitRange resource\.\n$/ },
  { run: 'describe pod absent', code: 1, err: 'Error from server (NotFound): pods "absent" not found\n' },
  { run: 'events', out: '', err: 'No events found in default namespace.\n' },
  {
    run: 'create -f -',
    input: `apiVersion: v1\nkind: Event\nmetadata: {name: web.1}\ninvolvedObject: {kind: Service, name: web, namespace: default}\ntype: Normal\nreason: Seen\nmessage: it was seen\nlastTimestamp: "2026-01-01T00:00:00Z"\n`,
    out: 'event/web.1 created\n',
  },
  {
    run: 'get events',
    out: /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n\S+ +Normal +Seen +service\/web +it was seen\n$/,
  },
  {
    run: 'get events -o wide',
    out: /^LAST SEEN +TYPE +REASON +OBJECT +SUBOBJECT +SOURCE +MESSAGE +FIRST SEEN +COUNT +NAME\n/,
  },
];

export const ACCESS: readonly Step[] = [
  { run: `auth can-i '*' '*'`, out: 'yes\n' },
  {
    run: 'create clusterrole basic --verb=create --resource=selfsubjectaccessreviews.authorization.k8s.io,selfsubjectrulesreviews.authorization.k8s.io',
    out: 'clusterrole.rbac.authorization.k8s.io/basic created\n',
  },
  {
    run: 'create clusterrolebinding basic --clusterrole=basic --group=system:authenticated',
    out: 'clusterrolebinding.rbac.authorization.k8s.io/basic created\n',
  },
  { run: 'auth can-i get pods --as=nobody', code: 1, out: 'no\n' },
  {
    run: 'auth can-i --list --as=nobody',
    out: /^Resources +Non-Resource URLs +Resource Names +Verbs\n/,
  },
  { run: 'auth whoami', out: /^ATTRIBUTE +VALUE\nUsername +\S+\nGroups +\[/, since: 28 },
  {
    run: 'auth reconcile -f -',
    input:
      'apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader, namespace: default}\nrules: [{apiGroups: [""], resources: [pods], verbs: [get]}]\n',
    out: /^role\.rbac\.authorization\.k8s\.io\/reader reconciled\n(?:\treconciliation required create\n\tmissing rules added:\n\t\t\{Verbs:\[get\] APIGroups:\[\] Resources:\[pods\] ResourceNames:\[\] NonResourceURLs:\[\]\}\n)?$/,
  },
  { run: 'create token builder --duration=10m', out: /^[\w-]+\.[\w-]+\.[\w-]+$/ },
  { run: 'create token absent', code: 1, err: 'error: failed to create token: serviceaccounts "absent" not found\n' },
  {
    run: 'certificate approve absent',
    code: 1,
    err: /certificatesigningrequests\.certificates\.k8s\.io "absent" not found/,
  },
];

export const DISCOVERY: readonly Step[] = [
  { run: 'api-versions', out: /^admissionregistration\.k8s\.io\/v1\n[\s\S]*\nstorage\.k8s\.io\/v1\nv1\n$/ },
  {
    run: 'api-resources --api-group=apps --no-headers',
    out: /^controllerrevisions +apps\/v1 +true +ControllerRevision\ndaemonsets +ds +apps\/v1 +true +DaemonSet\ndeployments +deploy +apps\/v1/,
  },
  {
    run: 'api-resources --namespaced=false --verbs=create --api-group=rbac.authorization.k8s.io -o name',
    out: 'clusterrolebindings.rbac.authorization.k8s.io\nclusterroles.rbac.authorization.k8s.io\n',
  },
  {
    run: 'explain deploy.spec.strategy',
    out: /KIND: +Deployment\nVERSION: +(?:apps\/)?v1\n[\s\S]*\nDESCRIPTION:\n +How old pods are[\s\S]*rollingUpdate\t<RollingUpdateDeployment>\n +Limits of/,
  },
  {
    run: 'explain deploy.spec.strategy --output plaintext-openapiv2',
    out: /\nDESCRIPTION:\n +How old pods are[\s\S]*rollingUpdate\t<Object>\n +Limits of/,
  },
  { run: 'explain pods --recursive', out: /\n {6}livenessProbe\t<Probe>\n/ },
  { run: 'explain pods.spec.absent', code: 1, err: 'error: field "absent" does not exist\n' },
  { run: 'cluster-info', out: /Kubernetes control plane.* is running at .*http:\/\/127\.0\.0\.1/ },
  { run: 'version -o yaml', out: /\nserverVersion:\n[\s\S]*\n {2}gitVersion: v1\.32\.\d+[\s\S]*\n {2}minor: "32"\n/ },
  { run: '__complete get de', out: /^deployments\.apps\n:4\n$/ },
  { run: '__complete get deploy w', out: /^web\n:4\n$/ },
  { run: `__complete describe svc ''`, out: /^web\nweb2\nweb3\n:4\n$/ },
  { run: `__complete -n ''`, out: /^default\nkube-system\n:4\n$/ },
];

export const DELETING: readonly Step[] = [
  { run: 'delete cm absent', code: 1, err: 'Error from server (NotFound): configmaps "absent" not found\n' },
  { run: 'delete cm absent --ignore-not-found', out: '' },
  { run: 'delete svc -l none=here', out: 'No resources found\n' },
  { run: 'delete svc web2 --dry-run=server', out: /^service "web2" deleted \(server dry run\)\n$/ },
  { run: 'delete svc --all --dry-run=server', out: /web3" deleted/ },
  { run: 'get svc web2 web3 -o name', out: 'service/web2\nservice/web3\n' },
  { run: 'delete svc web2 web3', out: /^service "web2" deleted.*\nservice "web3" deleted/ },
  { run: 'delete deploy web --cascade=orphan --wait=false', out: /^deployment\.apps "web" deleted/ },
  {
    run: 'delete pod lone --grace-period=0 --force',
    out: /^pod "lone" force deleted/,
    err: /Immediate deletion does not wait for confirmation that the running resource has been terminated\./,
  },
  { run: 'delete cm --all', out: /configmap "settings" deleted/ },
  {
    run: 'delete ns default',
    code: 1,
    err: 'Error from server (Forbidden): namespaces "default" is forbidden: this namespace may not be deleted\n',
  },
];

// Writes through given peers, ten a second in turn, until the input ends; then says in one line how that went. Exits
// with 1 when a write failed. Arguments: kubeconfig, then the URLs of peers.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { parse } from 'yaml';

const WRITES_A_SECOND = 10;
const TIMEOUT_MS = 20_000;

const [kubeconfig, ...servers] = process.argv.slice(2);
const { clusters, users } = parse(readFileSync(kubeconfig, 'utf8'));
const decode = (text) => Buffer.from(text, 'base64');
const agent = new Agent({
  keepAlive: true,
  ca: decode(clusters[0].cluster['certificate-authority-data']),
  cert: decode(users[0].user['client-certificate-data']),
  key: decode(users[0].user['client-key-data']),
});

const successes = [];
const failures = [];
let sent = 0;
let open = 0;
let ending = false;

function write() {
  const number = sent++;
  const url = `${servers[number % servers.length]}/api/v1/namespaces/default/configmaps`;
  const metadata = { name: `demo-write-${number}`, labels: { demo: 'writes' } };
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { number: String(number) } });
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  open++;
  const done = (problem) => {
    open--;
    if (problem) failures.push(`${url}: ${problem}`);
    else successes.push(performance.now());
    if (ending && open === 0) finish();
  };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  request(url, { method: 'POST', headers, agent, signal }, (response) => {
    response.resume().on('end', () => done(response.statusCode === 201 ? undefined : `status ${response.statusCode}`));
  })
    .on('error', (error) => done(error.message))
    .end(body);
}

function finish() {
  const gaps = successes.slice(1).map((end, i) => end - successes[i]);
  const gap = Math.round(Math.max(0, ...gaps));
  console.log(`${sent} writes, ${failures.length} failed, longest time without one: ${gap} ms`);
  for (const failure of failures.slice(0, 3)) console.log(`  ${failure}`);
  process.exit(failures.length > 0 ? 1 : 0);
}

const timer = setInterval(write, 1000 / WRITES_A_SECOND);
process.stdin.resume().on('end', () => {
  clearInterval(timer);
  ending = true;
  if (open === 0) finish();
});

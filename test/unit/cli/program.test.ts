import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { agentConfigSchema, environmentName } from '../../../src/agent/config.js';
import { skein } from './terminal.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

describe('the command line', () => {
  it('lists its commands', async () => {
    const { code, out, err } = await skein(['--help']);
    assert.deepEqual({ code, err }, { code: 0, err: '' });
    assert.equal(
      out,
      `Usage: skein [options] [command]

A peer-to-peer Kubernetes-API cluster: start \`skein agent\` on each machine, talk to any of them.

Options:
  --version       Print the version of this program
  -h, --help      Show help

Commands:
  agent           Run this machine as a peer of the cluster
  token           Create, list and revoke tokens for joining
  peer            List and remove registered peers
  kubeconfig      Print the kubeconfig of the administrator
  status          Show peers, roles and the state of the cluster
  image           Make container images available to every node
  apply           Create or change objects from manifests
  get             Show objects
  describe        Show one or more objects in detail
  history         Show who changed which fields of an object
  conflicts       Show what merges after splits overrode, with both values
  diff            Show what changed of an object since then
  chaos           Strike peers, one at a time, and report how the cluster takes it
  backup          Save all objects of the cluster to a file
  restore         Make a data directory out of a backup
  store           Check and print the store of a stopped agent
  logs            Print the logs of a container
  delete          Delete objects
  version         Print the versions of client and server
  help [command]  Show help for a command
`,
    );
  });

  it('explains a command', async () => {
    const { out } = await skein(['logs', '--help']);
    assert.equal(
      out,
      `Usage: skein logs [options] <pod|type/name> [container]

Print the logs of a container: \`skein logs web-0\`, \`skein logs -f deploy/web -c app\`.

Arguments:
  pod|type/name           A pod, or something that has pods (the first of them is taken)
  container               The same as -c

Options:
  --kubeconfig <file>     Server and credentials; else $KUBECONFIG, the data directory, ~/.kube/config
  --context <name>        Context of the kubeconfig instead of its current one
  -s, --server <url>      Server instead of the one in the kubeconfig
  --data-dir <dir>        Data directory of the agent on this machine (default: /var/lib/skein; SKEIN_DATA_DIR)
  -n, --namespace <name>  Namespace; the one of the kubeconfig unless told
  -c, --container <name>  Which container; the first unless told
  -f, --follow            Go on as the log grows
  -p, --previous          Of the container before its last restart
  --timestamps            With the time of each line
  --tail <lines>          Only the last lines; -1 is all (default: "-1")
  --since <duration>      Only lines newer than this, such as 10s or 5m
  -h, --help              Show help
`,
    );
    assert.equal((await skein(['help', 'logs'])).out, out);
  });

  it('has a flag for every setting of the agent, with doc, default and variable', async () => {
    const { out } = await skein(['agent', '--help']);
    const text = out.replaceAll(/\s+/g, ' ');
    for (const [key, { description = '' }] of Object.entries(agentConfigSchema.shape)) {
      assert.ok(description !== '', `${key} has no doc`);
      assert.ok(
        text.includes(` --${environmentName(key).slice(6).toLowerCase().replaceAll('_', '-')} `),
        `no flag for ${key}`,
      );
      assert.ok(text.includes(`${description} (`), `no doc for ${key}`);
      assert.ok(text.includes(`${environmentName(key)})`), `no variable for ${key}`);
    }
    assert.ok(text.includes('--data-dir <dir> Where everything is kept (default: /var/lib/skein; SKEIN_DATA_DIR)'));
    assert.ok(text.includes('--runtime <docker|process|fake> What runs containers (default: docker; SKEIN_RUNTIME)'));
    assert.ok(text.includes('--api-port <n> TCP port of the Kubernetes API (HTTPS) (default: 6443; SKEIN_API_PORT)'));
  });

  it('refuses what makes no sense in one line, with exit code 2', async () => {
    const usage: [string, RegExp][] = [
      ['', /^error: a command is needed; see `skein --help`$/],
      ['frob', /^error: unknown command 'frob'$/],
      ['agent --frob', /^error: unknown option '--frob'$/],
      ['agent extra', /^error: too many arguments for 'agent'\. Expected 0 arguments but got 1\.$/],
      ['agent --api-port banana', /^error: invalid configuration: apiPort: .*$/],
      ['agent --runtime podman', /^error: invalid configuration: runtime: .*$/],
      ['agent --name -', /^error: invalid configuration: name: must be a lower case DNS name$/],
      ['agent --config /nonexistent/c.yaml', /^error: cannot read the configuration \/nonexistent\/c\.yaml: .*$/],
      ['token', /^error: a command is needed; see `skein --help`$/],
      ['token create --ttl soon', /^error: --ttl: "soon" is not a duration of a second or more, such as 30m or 24h$/],
      ['token revoke', /^error: missing required argument 'id'$/],
      ['get', /^error: you must specify the type of resource, such as pods$/],
      [
        'get pods -o xml',
        /^error: unable to match a printer suitable for the output format "xml", allowed formats are: json,name,wide,yaml$/,
      ],
      ['get pods/a svc', /^error: there is no need to specify a resource type .*$/],
      ['apply', /^error: required option '-f, --filename <path...>' not specified$/],
      ['delete pods', /^error: resource\(s\) were provided, but no name was specified$/],
      ['delete pods a --all', /^error: name cannot be provided when a selector is specified$/],
      ['delete pods a --grace-period x', /^error: --grace-period: "x" is not a whole number of seconds$/],
      ['logs a --tail x', /^error: --tail must be greater than or equal to -1$/],
      ['logs a b -c c', /^error: only one of -c or an inline \[CONTAINER\] arg is allowed$/],
      [
        'status -o xml',
        /^error: option '-o, --output <format>' argument 'xml' is invalid\. Allowed choices are json\.$/,
      ],
    ];
    for (const [line, expected] of usage) {
      const { code, out, err } = await skein(line.split(' ').filter((word) => word !== ''));
      assert.match(err, new RegExp(`${expected.source.slice(0, -1)}\n$`), line);
      assert.deepEqual({ line, code, out }, { line, code: 2, out: '' });
    }
  });

  it('refuses what cannot be done in one line, with exit code 1', async () => {
    const failures: [string, RegExp][] = [
      [
        'get pods',
        /^error: no cluster to talk to: there is neither \/nonexistent\/admin\.kubeconfig nor \/nonexistent\/\.kube\/config; .*$/,
      ],
      [
        'status --data-dir /none',
        /^error: there is no \/none\/admin\.kubeconfig: is the agent of this data directory running\?$/,
      ],
      [
        'get pods --kubeconfig /none',
        /^error: error loading config file "\/none": open \/none: no such file or directory$/,
      ],
      [
        'kubeconfig',
        /^error: cannot read the kubeconfig: open \/nonexistent\/admin\.kubeconfig: no such file or directory$/,
      ],
      ['apply -f /none.yaml', /^error: the path "\/none\.yaml" does not exist$/],
      ['image import /none.tar', /^error: cannot read the archive: open \/none\.tar: no such file or directory$/],
      [`image import ${ROOT}package.json`, /^error: .*package\.json is not an image archive \(tar\)$/],
    ];
    for (const [line, expected] of failures) {
      const { code, out, err } = await skein(line.split(' '));
      assert.match(err, new RegExp(`${expected.source.slice(0, -1)}\n$`), line);
      assert.deepEqual({ line, code, out }, { line, code: 1, out: '' });
    }
  });

  describe('as a process', () => {
    let dir: string;
    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), 'skein-cli-'));
    });
    afterEach(() => rmSync(dir, { recursive: true }));

    const spawned = (args: readonly string[], env: Record<string, string> = {}) =>
      new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
        const main = join(ROOT, 'src/cli/main.ts');
        const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], {
          cwd: ROOT,
          env: { PATH: process.env['PATH'] ?? '', HOME: dir, SKEIN_DATA_DIR: dir, ...env },
        });
        let out = '';
        let err = '';
        child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
        child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
        child.once('close', (code) => resolve({ code, out, err }));
      });

    it('ends with the exit code and without a stack trace', async () => {
      const file = join(dir, 'kubeconfig');
      writeFileSync(
        file,
        'clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n',
      );
      const refused =
        'The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?\n';
      const [version, unknown, unreachable, debug] = await Promise.all([
        spawned(['version', '--client']),
        spawned(['get', '--frob']),
        spawned(['get', 'pods'], { KUBECONFIG: file }),
        spawned(['get', 'pods'], { KUBECONFIG: file, SKEIN_DEBUG: '1' }),
      ]);
      assert.match(version.out, /^Client Version: v\d+\.\d+\.\d+\n$/);
      assert.deepEqual([version.code, version.err], [0, '']);
      assert.deepEqual(unknown, { code: 2, out: '', err: "error: unknown option '--frob'\n" });
      assert.deepEqual(unreachable, { code: 1, out: '', err: refused });
      assert.match(debug.err, /UnreachableError: .*\n {4}at [^]*was refused/);
    }).timeout(60_000);
  });
});

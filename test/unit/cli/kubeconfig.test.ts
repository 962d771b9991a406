import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withServer } from '../../../src/cli/commands/kubeconfig.js';
import { credentialsOf, readKubeconfig } from '../../../src/cli/kubeconfig.js';

const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('kubeconfig', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'skein-kubeconfig-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const write = (name: string, text: string) => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const config = (user: string, cluster = '', extra = '') => `
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"${cluster}}}]
users: [{name: u, user: {${user}}}]
contexts: [{name: x, context: {cluster: c, user: u${extra}}}]
current-context: x
`;

  it('decodes certificates that are inline', () => {
    const user = `client-certificate-data: ${base64('CERT')}, client-key-data: ${base64('KEY')}`;
    const file = write('a', config(user, `, certificate-authority-data: ${base64('CA')}`));
    assert.deepEqual(credentialsOf(readKubeconfig([file])), {
      server: 'https://10.0.0.1:6443',
      namespace: 'default',
      ca: 'CA',
      cert: 'CERT',
      key: 'KEY',
    });
  });

  it('reads certificates and tokens from files beside it', () => {
    mkdirSync(join(dir, 'pki'));
    for (const name of ['ca', 'crt', 'key']) write(`pki/${name}`, name.toUpperCase());
    write('token', 'abc\n');
    const user = 'client-certificate: pki/crt, client-key: pki/key, tokenFile: token';
    const file = write('a', config(user, ', certificate-authority: pki/ca', ', namespace: team'));
    const { server: _, ...credentials } = credentialsOf(readKubeconfig([file]));
    assert.deepEqual(credentials, { namespace: 'team', ca: 'CA', cert: 'CRT', key: 'KEY', token: 'abc' });
  });

  it('merges several files: the first to define a name wins', () => {
    const a = write('a', config('token: first'));
    const b = write(
      'b',
      `${config('token: second').replace('name: x', 'name: y').replace('current-context: x', 'current-context: y')}`,
    );
    const merged = readKubeconfig([a, b]);
    assert.equal(merged.currentContext, 'x');
    assert.deepEqual([...merged.contexts.keys()], ['x', 'y']);
    assert.equal(credentialsOf(merged, 'y').token, 'first');
  });

  it('says in one line what is wrong', () => {
    const failing = (text: string, name?: string) => () => credentialsOf(readKubeconfig([write('bad', text)]), name);
    assert.throws(failing('{'), /error loading config file ".*bad": /);
    assert.throws(failing('kind: Pod'), /it is not a kubeconfig/);
    assert.throws(failing('kind: Config'), /the kubeconfig has no current-context/);
    assert.throws(failing(config(''), 'nope'), /context "nope" does not exist/);
    assert.throws(failing(config('').replace('cluster: c', 'cluster: d')), /cluster "d" does not exist/);
    assert.throws(failing(config('exec: {command: aws}')), /signs in by "exec", which is not supported/);
    assert.throws(failing(config(`client-key-data: ${base64('K')}`)), /needs both/);
    assert.throws(failing(config('tokenFile: nope')), /unable to read .*nope: open .*nope: no such file or directory/);
    assert.throws(
      () => readKubeconfig([join(dir, 'absent')]),
      /error loading config file ".*absent": open .*: no such file or directory/,
    );
  });

  it('can be printed for another address, otherwise unchanged', () => {
    const text =
      'clusters:\n  - name: c # mine\n    cluster:\n      server: https://127.0.0.1:6443\ncurrent-context: x\n';
    assert.equal(
      withServer(text, 'https://[fd00::1]:6443'),
      text.replace('https://127.0.0.1:6443', 'https://[fd00::1]:6443'),
    );
    assert.throws(() => withServer(text, '10.0.0.1'), /--server: "10.0.0.1" is not a URL/);
  });
});

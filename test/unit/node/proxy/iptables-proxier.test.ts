import assert from 'node:assert/strict';
import type { Command, CommandResult } from '../../../../src/base/command.js';
import { silentLogger } from '../../../../src/base/log.js';
import { noMetrics } from '../../../../src/base/metrics.js';
import { IptablesProxier } from '../../../../src/node/proxy/iptables-proxier.js';
import { ManualClock } from '../../../../src/testing/manual-clock.js';
import { endpoint, servicePort, stateOf } from './states.js';

/** A kernel that shows what it is told to show, and notes what is done to it. */
class Kernel implements Command {
  readonly calls: { line: string; input: string }[] = [];
  saved: Readonly<Record<string, string>> = { filter: '*filter\nCOMMIT\n', nat: '*nat\nCOMMIT\n' };
  /** Programs that fail, and with what. */
  readonly broken = new Map<string, Partial<CommandResult>>();

  run(program: string, args: readonly string[], { input = '' } = {}): Promise<CommandResult> {
    this.calls.push({ line: [program, ...args].join(' '), input });
    const good = { code: 0, stdout: program === 'iptables-save' ? (this.saved[args[1] ?? ''] ?? '') : '', stderr: '' };
    return Promise.resolve({ ...good, ...this.broken.get(program) });
  }
  /** The transactions written since the last look. */
  written(): string[] {
    return this.calls.splice(0).flatMap(({ line, input }) => (line.startsWith('iptables-restore') ? [input] : []));
  }
}

describe('the iptables proxy', () => {
  let kernel: Kernel;
  let proxier: IptablesProxier;
  const A = endpoint('10.244.0.2', 80);
  const B = endpoint('10.244.0.3', 80);
  const web = (...cluster: (typeof A)[]) => servicePort({ cluster });

  beforeEach(() => {
    kernel = new Kernel();
    proxier = new IptablesProxier(
      { command: kernel, clock: new ManualClock(), log: silentLogger, metrics: noMetrics },
      { clusterCidr: '10.244.0.0/16', masqueradeMark: 0x4000, masqueradeAll: false, localhostNodePorts: false },
    );
  });

  it('writes everything first, then only what changed, then nothing', async () => {
    await proxier.sync(stateOf(web(A)), true);
    const [first = ''] = kernel.written();
    assert.match(first, /^\*filter\n/);
    assert.match(first, /-I PREROUTING 1 .* -j KUBE-SERVICES/);
    const state = stateOf(web(A, B));
    await proxier.sync(state, false);
    const [second = ''] = kernel.written();
    assert.match(second, /--to-destination 10\.244\.0\.3:80/);
    assert.doesNotMatch(second, /\*filter|-I PREROUTING|KUBE-POSTROUTING/);
    await proxier.sync(state, false);
    assert.deepEqual(kernel.calls, []);
  });

  it('puts in front only those jumps that are missing, and removes chains that nobody wants', async () => {
    const stale = 'KUBE-SEP-AAAAAAAAAAAAAAAA';
    kernel.saved = {
      filter: '*filter\nCOMMIT\n',
      nat: `*nat\n:${stale} - [0:0]\n-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\nCOMMIT\n`,
    };
    await proxier.sync(stateOf(web(A)), true);
    const [text = ''] = kernel.written();
    assert.match(text, new RegExp(`-X ${stale}\n`));
    assert.doesNotMatch(text.slice(text.lastIndexOf('*nat')), /-I OUTPUT 1 .*service portals/);
    assert.match(text, /-I OUTPUT 1 .*host ports/);
  });

  it('trusts nothing after a failure', async () => {
    await proxier.sync(stateOf(web(A)), true);
    kernel.broken.set('iptables-restore', { code: 4, stderr: 'Another app is currently holding the xtables lock' });
    await assert.rejects(proxier.sync(stateOf(web(B)), false), /xtables lock/);
    kernel.broken.clear();
    kernel.written();
    await proxier.sync(stateOf(web(B)), false);
    assert.match(kernel.written()[0] ?? '', /^\*filter\n/);
  });

  it('forgets UDP flows to endpoints that left, after the rules, and goes on without the program for it', async () => {
    const dns = (...cluster: (typeof A)[]) => servicePort({ protocol: 'UDP', cluster });
    await proxier.sync(stateOf(dns(A)), true);
    kernel.calls.length = 0;
    await proxier.sync(stateOf(dns(B)), false);
    const lines = kernel.calls.splice(0).map(({ line }) => line);
    assert.deepEqual(lines, [
      'iptables-restore --noflush -w 5',
      'conntrack -D -p udp --orig-dst 10.96.0.10 --dst-nat 10.244.0.2',
    ]);
    kernel.broken.set('conntrack', { code: 127 });
    await proxier.sync(stateOf(dns(A)), false);
    await proxier.sync(stateOf(dns(B)), false);
    assert.equal(kernel.calls.filter(({ line }) => line.startsWith('conntrack')).length, 1);
  });

  it('takes back exactly what is its own', async () => {
    kernel.saved = {
      filter: '*filter\n:KUBE-SERVICES - [0:0]\n-A OUTPUT -j KUBE-SERVICES\n-A OUTPUT -j OTHER\nCOMMIT\n',
      nat: '*nat\nCOMMIT\n',
    };
    await proxier.cleanup();
    assert.equal(
      kernel.written()[0],
      '*filter\n:KUBE-SERVICES - [0:0]\n-D OUTPUT -j KUBE-SERVICES\n-X KUBE-SERVICES\nCOMMIT\n',
    );
  });
});

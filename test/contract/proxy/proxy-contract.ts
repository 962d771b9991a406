/** What every proxier does, seen from a client on its machine. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { endpoint, servicePort, stateOf } from '../../unit/node/proxy/states.js';
import type { Mode, Order, Request, Response } from './machine.js';

const A = endpoint('10.244.1.2', 8080, true);
const B = endpoint('10.244.1.3', 8080, true);
const IP = '10.96.0.10';

/** A process in a network namespace of its own; see `machine.ts`. */
export class Machine {
  private readonly waiting = new Map<number, (response: Response) => void>();
  private ids = 0;

  private constructor(private readonly child: ChildProcess) {
    child.on('message', (response: Response) => this.waiting.get(response.id)?.(response));
    child.on('exit', (code) => {
      for (const [id, settle] of this.waiting) settle({ id, error: `the machine ended with ${code}` });
    });
  }

  static async start(): Promise<Machine> {
    const script = fileURLToPath(new URL('./machine.ts', import.meta.url));
    const child = spawn('unshare', ['--net', process.execPath, '--import', 'tsx', script], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const machine = new Machine(child);
    await machine.response(0);
    return machine;
  }

  async tell(order: Order): Promise<string> {
    const id = ++this.ids;
    const response = this.response(id);
    this.child.send({ id, order } satisfies Request);
    return response;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }

  private response(id: number): Promise<string> {
    return new Promise((resolve, reject) => {
      this.waiting.set(id, ({ value = '', error }) => {
        this.waiting.delete(id);
        if (error === undefined) resolve(value);
        else reject(new Error(error));
      });
    });
  }
}

export function proxyContract(mode: Mode): void {
  describe(`a service proxy: ${mode}`, function () {
    this.timeout(30_000);
    let machine: Machine;

    before(async () => {
      machine = await Machine.start();
    });
    after(() => machine?.stop());
    beforeEach(() => machine.tell({ do: 'make', mode }));
    afterEach(() => machine.tell({ do: 'cleanup' }));

    const sync = (services: ReturnType<typeof servicePort>[], full = false) =>
      machine.tell({ do: 'sync', state: stateOf(...services), full });
    const tcp = (ip: string, port: number) => machine.tell({ do: 'tcp', ip, port });
    const udp = (ip: string, port: number) => machine.tell({ do: 'udp', ip, port });
    const web = (...cluster: (typeof A)[]) => servicePort({ clusterIp: IP, cluster });

    async function reached(ask: () => Promise<string>, times = 24): Promise<string[]> {
      const seen = new Set<string>();
      for (let i = 0; i < times; i++) seen.add(await ask());
      return [...seen].sort();
    }

    it('leads a cluster IP to all of its endpoints and to nothing else', async () => {
      await sync(
        [web(A, B), servicePort({ name: 'default/dns', protocol: 'UDP', clusterIp: IP, port: 53, cluster: [A, B] })],
        true,
      );
      assert.deepEqual(await reached(() => tcp(IP, 80)), [A.ip, B.ip]);
      assert.deepEqual(await reached(() => udp(IP, 53)), [A.ip, B.ip]);
    });

    it('refuses at once where nobody can answer, and serves as soon as somebody can', async () => {
      await sync([web()], true);
      assert.match(await tcp(IP, 80), /^ECONN(REFUSED|RESET)$/);
      await sync([web(B)]);
      assert.equal(await tcp(IP, 80), B.ip);
      await sync([web()]);
      assert.match(await tcp(IP, 80), /^ECONN(REFUSED|RESET)$/);
    });

    it('follows endpoints; connections that are open go on', async () => {
      await sync([web(A)], true);
      assert.equal(await machine.tell({ do: 'open', ip: IP, port: 80 }), A.ip);
      await sync([web(B)]);
      assert.deepEqual(await reached(() => tcp(IP, 80), 5), [B.ip]);
      assert.equal(await machine.tell({ do: 'echo', text: 'still here' }), 'still here');
    });

    it('keeps a client with affinity at one endpoint', async () => {
      await sync([{ ...web(A, B), affinitySeconds: 600 }], true);
      assert.equal((await reached(() => tcp(IP, 80), 10)).length, 1);
    });

    it('answers NodePorts and external IPs', async () => {
      const nodePort = servicePort({ clusterIp: IP, nodePort: 30080, externalIps: ['198.51.100.7'], cluster: [A] });
      await sync([nodePort], true);
      assert.equal(await tcp('192.0.2.1', 30080), A.ip);
      assert.equal(await tcp('198.51.100.7', 80), A.ip);
      await sync([{ ...nodePort, nodePort: 30081 }]);
      assert.equal(await tcp('192.0.2.1', 30080), 'ECONNREFUSED');
      assert.equal(await tcp('192.0.2.1', 30081), A.ip);
    });

    it('takes over from an earlier run, also what that had too much', async () => {
      await sync([web(A), servicePort({ name: 'default/old', clusterIp: '10.96.0.99', cluster: [A] })], true);
      if (mode === 'iptables') {
        await machine.tell({ do: 'make', mode });
        await sync([web(B)], true);
        const rules = await machine.tell({ do: 'run', line: ['iptables-save'] });
        assert.doesNotMatch(rules, /default\/old|10\.96\.0\.99/);
        assert.equal(rules.match(/-A OUTPUT .*-j KUBE-SERVICES/g)?.length, 2);
      } else await sync([web(B)], true);
      assert.equal(await tcp(IP, 80), B.ip);
    });

    it('leaves nothing behind once cleaned up', async () => {
      await sync([servicePort({ clusterIp: IP, nodePort: 30080, cluster: [A, B] })], true);
      await machine.tell({ do: 'cleanup' });
      assert.doesNotMatch(await machine.tell({ do: 'run', line: ['iptables-save'] }), /KUBE-/);
      assert.doesNotMatch(await machine.tell({ do: 'run', line: ['ip', 'addr'] }), /10\.96\./);
      assert.equal(await tcp('192.0.2.1', 30080), 'ECONNREFUSED');
    });

    if (mode === 'iptables') {
      it('puts back at a full sync what somebody else removed', async () => {
        await sync([web(A)], true);
        await machine.tell({ do: 'run', line: ['iptables', '-t', 'nat', '-F', 'OUTPUT'] });
        await machine.tell({ do: 'run', line: ['iptables', '-t', 'nat', '-F', 'KUBE-SERVICES'] });
        await sync([web(A)], true);
        assert.equal(await tcp(IP, 80), A.ip);
      });

      it('writes a thousand Services with ten endpoints each in good time, and one change of them in no time', async function () {
        this.timeout(120_000);
        const many = Array.from({ length: 1_000 }, (_, i) =>
          servicePort({
            name: `default/service-${i}:http`,
            clusterIp: `10.97.${i >> 8}.${i & 255}`,
            cluster: Array.from({ length: 10 }, (__, j) =>
              endpoint(`10.245.${(i * 10 + j) >> 8}.${(i * 10 + j) & 255}`, 80),
            ),
          }),
        );
        // Ten times what an idle machine takes: this is about the order of growth.
        const began = performance.now();
        await sync([web(A), ...many], true);
        const full = performance.now() - began;
        assert.ok(full < 30_000, `${full} ms`);
        const then = performance.now();
        await sync([web(B), ...many]);
        const partial = performance.now() - then;
        assert.ok(partial < full / 2, `${partial} ms`);
        assert.equal(await tcp(IP, 80), B.ip);
      });
    }
  });
}

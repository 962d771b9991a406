/**
 * etcd on the lab's hosts: three members with its defaults (fsync on), clients and peers without TLS. Puts go over gRPC,
 * its native protocol, one HTTP/2 connection per client; the two messages needed are encoded by hand.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { connect, type ClientHttp2Session } from 'node:http2';
import { dirname, join } from 'node:path';
import { run } from '../../test/e2e/harness/command.js';
import type { Lab } from '../../test/e2e/harness/lab.js';
import { eventually } from '../../test/e2e/harness/wait.js';

export async function etcdInstalled(): Promise<boolean> {
  return (await run('sh', ['-c', 'command -v etcd'])).code === 0;
}

export class Etcd {
  private readonly children = new Map<number, ChildProcess>();

  constructor(
    private readonly lab: Lab,
    private readonly hosts: readonly number[],
  ) {}

  /** Starts the members that do not run; resolves when one of them leads. */
  async start(): Promise<void> {
    const cluster = this.hosts.map((host) => `h${host}=http://${this.lab.address(host)}:2380`).join(',');
    for (const host of this.hosts) {
      if (this.children.has(host)) continue;
      const address = this.lab.address(host);
      const dataDir = join(dirname(this.lab.dataDir(host)), 'etcd');
      await mkdir(dataDir, { recursive: true, mode: 0o700 });
      const flags = {
        name: `h${host}`,
        'data-dir': dataDir,
        'listen-peer-urls': `http://${address}:2380`,
        'initial-advertise-peer-urls': `http://${address}:2380`,
        'listen-client-urls': `http://${address}:2379`,
        'advertise-client-urls': `http://${address}:2379`,
        'initial-cluster': cluster,
        'log-level': 'error',
      };
      const argv = ['etcd', ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)];
      const { program, args, env } = this.lab.commandOn(host, argv);
      this.children.set(host, spawn(program, args, { env: { ...process.env, ...env }, stdio: 'ignore' }));
    }
    await eventually('etcd has a leader', 30_000, () => this.leader());
  }

  async stop(): Promise<void> {
    await Promise.all(this.hosts.map((host) => this.kill(host)));
  }

  get pids(): readonly number[] {
    return [...this.children.values()].map(({ pid }) => pid ?? 0);
  }

  /** kill -9 of a member. */
  async kill(host: number): Promise<void> {
    const child = this.children.get(host);
    this.children.delete(host);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** The host of the leading member, as any member tells; undefined without one. */
  async leader(): Promise<number | undefined> {
    for (const host of this.hosts) {
      const url = `http://${this.lab.address(host)}:2379/v3/maintenance/status`;
      const answer = await fetch(url, { method: 'POST', body: '{}', signal: AbortSignal.timeout(2_000) }).catch(
        () => undefined,
      );
      const status = (await answer?.json()) as { header?: { member_id?: string }; leader?: string } | undefined;
      if (status?.leader && status.leader === status.header?.member_id) return host;
    }
    return undefined;
  }

  client(host: number): EtcdClient {
    return new EtcdClient(`http://${this.lab.address(host)}:2379`);
  }
}

function lengthDelimited(tag: number, value: Buffer): Buffer {
  const head = [(tag << 3) | 2];
  let { length } = value;
  for (; length > 127; length >>>= 7) head.push((length & 127) | 128);
  head.push(length);
  return Buffer.concat([Buffer.from(head), value]);
}

/** `PutRequest{key, value}` as a gRPC message: a byte that says uncompressed, four of length. */
function putMessage(key: string, value: Buffer): Buffer {
  const message = Buffer.concat([lengthDelimited(1, Buffer.from(key)), lengthDelimited(2, value)]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

export class EtcdClient {
  private session: ClientHttp2Session | undefined;

  constructor(private readonly url: string) {}

  /** Rejects when the put is not acknowledged in time. */
  put(key: string, value: Buffer, timeoutMs = 20_000): Promise<void> {
    if (!this.session || this.session.closed || this.session.destroyed) {
      this.session = connect(this.url);
      this.session.on('error', () => undefined);
    }
    const stream = this.session.request({
      ':method': 'POST',
      ':path': '/etcdserverpb.KV/Put',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    return new Promise((resolve, reject) => {
      let status: string | undefined;
      let text = '';
      const note = (headers: IncomingHttpHeaders) => {
        if (headers['grpc-status'] === undefined) return;
        status = [headers['grpc-status']].join();
        text = [headers['grpc-message']].join();
      };
      stream.on('response', note).on('trailers', note).on('error', reject);
      stream.setTimeout(timeoutMs, () => stream.close());
      stream.resume();
      stream.on('close', () => {
        if (status === '0') resolve();
        else reject(new Error(status === undefined ? 'no answer' : `grpc status ${status}: ${text}`));
      });
      stream.end(putMessage(key, value));
    });
  }

  close(): void {
    this.session?.destroy();
  }
}

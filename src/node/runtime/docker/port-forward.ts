/**
 * Connections into a sandbox's network namespace, as `kubectl port-forward` needs them. A pod's address is dialled from
 * the host; what listens on the pod's loopback alone is reached by a relay process inside of the namespace (nsenter of
 * util-linux and the Node.js that runs us, so nothing else has to be installed).
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { Duplex } from 'node:stream';
import type { Clock } from '../../../base/clock.js';
import { RuntimeError, type Sandbox } from '../runtime.js';
import { CONNECT_TIMEOUT_MS, dial } from '../tcp-dial.js';

export async function connectToPod(clock: Clock, sandbox: Sandbox, port: number): Promise<Duplex> {
  const address = sandbox.ips[0];
  if (sandbox.hostNetwork) return dial(clock, '127.0.0.1', port);
  if (address !== undefined) {
    try {
      return await dial(clock, address, port);
    } catch {
      // Nobody listens on the pod's address: perhaps on its loopback.
    }
  }
  return relayInside(clock, sandbox.pid, port);
}

/** Writes one byte when connected, then relays; a failure is its standard error and exit code 1. */
const RELAY = `
const s = require('net').connect({ host: 'localhost', port: +process.argv[1], allowHalfOpen: true });
s.on('connect', () => { process.stdout.write('+'); process.stdin.pipe(s); s.pipe(process.stdout); });
s.on('error', (e) => { process.stderr.write(e.message || e.code || 'failed'); process.exitCode = 1; process.stdin.destroy(); });
s.on('close', () => process.stdin.destroy());
`;

async function relayInside(clock: Clock, pid: number, port: number): Promise<Duplex> {
  const argv = [`--net=/proc/${pid}/ns/net`, '--', process.execPath, '-e', RELAY, String(port)];
  const child = spawn('nsenter', argv, { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    if (complaint.length < 4096) complaint += text.toString();
  });
  child.stdin.on('error', () => undefined);
  const cancel = clock.timer(CONNECT_TIMEOUT_MS, () => child.kill('SIGKILL'));
  try {
    const first = await firstByte(child);
    if (first !== '+') throw new Error(complaint || 'the relay ended');
  } catch (error) {
    child.kill('SIGKILL');
    const reason = error instanceof Error ? error.message : String(error);
    const text = `failed to connect to localhost:${port} inside the sandbox: ${reason}`;
    throw new RuntimeError('ERR_RUNTIME', text, { cause: error });
  } finally {
    cancel();
  }
  return new RelayConnection(child);
}

/** The relay's first byte, put apart from what follows; undefined when it ended without one. */
function firstByte(child: ChildProcessWithoutNullStreams): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve(undefined));
    child.stdout.once('data', (chunk: Buffer) => {
      child.stdout.pause();
      if (chunk.length > 1) child.stdout.unshift(chunk.subarray(1));
      resolve(chunk.subarray(0, 1).toString());
    });
  });
}

/** The relay's standard streams as one connection; destroying it kills the relay and is no error. */
class RelayConnection extends Duplex {
  constructor(private readonly child: ChildProcessWithoutNullStreams) {
    super({ allowHalfOpen: true });
    child.stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stdout.on('end', () => this.push(null));
    child.stdout.on('error', () => this.push(null));
    // What was read is still to be consumed: only the writing side ends with the relay.
    child.once('close', () => this.end());
    child.stdout.resume();
  }

  override _read(): void {
    this.child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.child.stdin.write(chunk, (error) => done(error ?? null));
  }

  override _final(done: () => void): void {
    this.child.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.child.kill('SIGKILL');
    done(error);
  }
}

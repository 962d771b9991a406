/** Two nodes as network namespaces on one wire, with pods as bare processes. Root only. Everything goes with `close`. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemCommand, type Command } from '../../../src/base/command.js';

export function inNamespace(namespace: string): Command {
  return {
    run: (program, args, options) =>
      systemCommand.run('nsenter', [`--net=/run/netns/${namespace}`, program, ...args], options),
  };
}

export interface Place {
  run(program: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
}

export class TwoNodes {
  readonly directory = mkdtempSync(join(tmpdir(), 'skein-network-'));
  private readonly children: ChildProcess[] = [];
  private readonly id = `${process.pid % 10_000}`;

  namespaceOf(node: number): string {
    return `skt${this.id}n${node}`;
  }

  addressOf(node: number): string {
    return `192.0.2.${node}`;
  }

  commandOf(node: number): Command {
    return inNamespace(this.namespaceOf(node));
  }

  async open(): Promise<void> {
    const [a, b] = [this.namespaceOf(1), this.namespaceOf(2)];
    await must('ip', 'netns', 'add', a);
    await must('ip', 'netns', 'add', b);
    await must('ip', '-n', a, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b);
    for (const [i, name] of [a, b].entries()) {
      await must('ip', '-n', name, 'addr', 'add', `${this.addressOf(i + 1)}/24`, 'dev', 'eth0');
      await must('ip', '-n', name, 'link', 'set', 'eth0', 'up');
      await must('ip', '-n', name, 'link', 'set', 'lo', 'up');
      await must('ip', '-n', name, 'route', 'add', 'default', 'dev', 'eth0');
      // As on a machine with Docker's ordinary rules.
      await must('nsenter', `--net=/run/netns/${name}`, 'iptables', '-P', 'FORWARD', 'DROP');
    }
  }

  /** A process in a network namespace of its own: what a sandbox is to the network. */
  async pod(): Promise<{ readonly pid: number } & Place> {
    const child = spawn('unshare', ['--net', 'sleep', '600'], { stdio: 'ignore' });
    this.children.push(child);
    const pid = child.pid as number;
    const ours = readlinkSync('/proc/self/ns/net');
    while (readlinkSync(`/proc/${pid}/ns/net`) === ours) await new Promise(setImmediate);
    return {
      pid,
      run: (program, ...args) => systemCommand.run('nsenter', [`--net=/proc/${pid}/ns/net`, program, ...args]),
    };
  }

  node(node: number): Place {
    return { run: (program, ...args) => this.commandOf(node).run(program, args) };
  }

  /** Serves `text` over HTTP in a pod until the end. */
  async serve(pid: number, port: number, text: string): Promise<void> {
    const script = `require('http').createServer((q,r)=>r.end(${JSON.stringify(text)}+' '+q.socket.remoteAddress)).listen(${port},'0.0.0.0',()=>console.log('up'))`;
    const child = spawn('nsenter', [`--net=/proc/${pid}/ns/net`, process.execPath, '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.children.push(child);
    await once(child.stdout, 'data');
  }

  async close(): Promise<void> {
    await Promise.all(
      this.children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }),
    );
    for (const node of [1, 2]) await systemCommand.run('ip', ['netns', 'del', this.namespaceOf(node)]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function must(program: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await systemCommand.run(program, args);
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
}

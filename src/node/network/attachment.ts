/**
 * Puts a sandbox on the bridge with two processes: one `ip -batch` on this side and one inside its network namespace.
 * The pod gets a /32 and sends everything to the gateway (see plan.ts for why).
 */
import { createHash } from 'node:crypto';
import { runOrThrow, type Command } from '../../base/command.js';

export interface Attachment {
  readonly bridge: string;
  readonly gateway: string;
  readonly address: string;
  readonly mtu: number;
  readonly pid: number;
}

/** The host side's name: at most 15 characters, the same for the same sandbox. */
export function vethName(sandboxId: string): string {
  return `sk${createHash('sha1').update(sandboxId).digest('hex').slice(0, 12)}`;
}

const inPod = (pid: number) => [`--net=/proc/${pid}/ns/net`, 'ip'];

export async function attachSandbox(command: Command, sandboxId: string, to: Attachment): Promise<void> {
  const veth = vethName(sandboxId);
  const outside =
    `link add ${veth} mtu ${to.mtu} type veth peer name eth0 mtu ${to.mtu} netns ${to.pid}\n` +
    `link set ${veth} master ${to.bridge} up\n` +
    // With br_netfilter on, DNAT to a pod of the same bridge is bridged, and back to itself only in hairpin mode.
    `link set ${veth} type bridge_slave hairpin on\n`;
  const first = await command.run('ip', ['-batch', '-'], { input: outside });
  if (first.code !== 0) {
    // Left over from an attempt that was cut short, or from a sandbox process that is gone.
    await command.run('ip', ['link', 'del', veth]);
    await runOrThrow(command, 'ip', ['-batch', '-'], { input: outside });
  }
  const inside =
    `link set lo up\naddr add ${to.address}/32 dev eth0\nlink set eth0 up\n` +
    `route add ${to.gateway} dev eth0 scope link\nroute add default via ${to.gateway} dev eth0\n`;
  await runOrThrow(command, 'nsenter', [...inPod(to.pid), '-batch', '-'], { input: inside });
}

/** True when the sandbox's process has the address on a live interface, so that nothing is left to do. */
export async function isAttached(command: Command, pid: number, address: string): Promise<boolean> {
  const { code, stdout } = await command.run('nsenter', [
    ...inPod(pid),
    '-o',
    '-4',
    'addr',
    'show',
    'dev',
    'eth0',
    'up',
  ]);
  return code === 0 && stdout.includes(`inet ${address}/`);
}

export async function detachSandbox(command: Command, sandboxId: string): Promise<void> {
  // Fails when the namespace went first and took the pair with it: fine.
  await command.run('ip', ['link', 'del', vethName(sandboxId)]);
}

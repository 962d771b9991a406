/** Asks a machine whether anything listens at an address. */
import { connect } from 'node:net';
import type { Clock } from '../../base/clock.js';
import { parseHostPort } from './address.js';

/** `open`: somebody accepts; `refused`: the machine answers that nobody listens; `silent`: no answer, or no way there. */
export type ProbeResult = 'open' | 'refused' | 'silent';

export function probeTcp(clock: Clock, address: string, timeoutMs: number): Promise<ProbeResult> {
  const target = parseHostPort(address);
  if (!target) return Promise.resolve('silent');
  return new Promise((resolve) => {
    const socket = connect(target);
    const end = (result: ProbeResult) => {
      cancel();
      socket.destroy();
      resolve(result);
    };
    const cancel = clock.timer(timeoutMs, () => end('silent'));
    socket.once('connect', () => end('open'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? 'refused' : 'silent'));
  });
}

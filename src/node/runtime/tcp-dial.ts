/** A TCP connection within a time limit. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Clock } from '../../base/clock.js';
import { RuntimeError } from './runtime.js';

/** Longest wait for a connection, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** Connects half-open capable, as relays need it. Throws {@link RuntimeError} `ERR_RUNTIME` with the reason. */
export async function dial(clock: Clock, host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true });
  const cancel = clock.timer(CONNECT_TIMEOUT_MS, () => socket.destroy(new Error('timed out')));
  try {
    await once(socket, 'connect');
    return socket;
  } catch (error) {
    socket.destroy();
    const reason = error instanceof Error ? error.message : String(error);
    throw new RuntimeError('ERR_RUNTIME', `failed to connect to ${host}:${port}: ${reason}`, { cause: error });
  } finally {
    cancel();
  }
}

/** `/containerLogs`: the log of the running, or the previous, instance of a container. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Clock } from '../../../base/clock.js';
import type { Pod } from '../../../api/types/core-v1.js';
import type { Runtime } from '../../runtime/runtime.js';
import { instancesOf, type Observed } from '../pod-model.js';

/** Answers 400 in the kubelet's words where there is no such log. Ends when the client does. */
export async function sendLogs(
  { pod, observed }: { readonly pod: Pod; readonly observed: Observed },
  name: string,
  query: URLSearchParams,
  response: ServerResponse,
  { runtime, clock }: { readonly runtime: Runtime; readonly clock: Clock },
): Promise<void> {
  const instances = instancesOf(observed, name).filter(({ state }) => state !== 'created');
  const previous = query.get('previous') === 'true';
  const chosen = previous ? previousOf(instances) : instances[0];
  if (!chosen) {
    const what = previous
      ? `previous terminated container "${name}" in pod "${pod.metadata.name}" not found`
      : waitingText(pod, name);
    response.writeHead(400, { 'Content-Type': 'text/plain' }).end(what);
    return;
  }
  const abort = new AbortController();
  response.on('close', () => abort.abort(new Error('the client is gone')));
  response.writeHead(200, { 'Content-Type': 'text/plain' });
  response.flushHeaders();
  let left = numberOf(query, 'limitBytes') ?? Infinity;
  const chunks = runtime.logs(chosen.id, {
    follow: query.get('follow') === 'true',
    tailLines: numberOf(query, 'tailLines'),
    sinceMs: sinceOf(query, clock),
    timestamps: query.get('timestamps') === 'true',
    signal: abort.signal,
  });
  try {
    for await (const { data } of chunks) {
      const part = data.length > left ? data.subarray(0, left) : data;
      left -= part.length;
      if (!response.write(part) && !abort.signal.aborted) await once(response, 'drain', { signal: abort.signal });
      if (left <= 0 || abort.signal.aborted) break;
    }
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  }
  abort.abort();
  response.end();
}

function previousOf<T extends { readonly state: string }>(instances: readonly T[]): T | undefined {
  const [newest, ...older] = instances;
  return older.find(({ state }) => state === 'exited') ?? (newest?.state === 'exited' ? newest : undefined);
}

function waitingText(pod: Pod, name: string): string {
  const statuses = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])];
  const waiting = statuses.find((status) => status.name === name)?.state?.waiting;
  const why = waiting?.reason ?? 'ContainerCreating';
  return `container "${name}" in pod "${pod.metadata.name}" is waiting to start: ${why}`;
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  return value === null || !/^\d+$/.test(value) ? undefined : Number(value);
}

function sinceOf(query: URLSearchParams, clock: Clock): number | undefined {
  const seconds = numberOf(query, 'sinceSeconds');
  if (seconds !== undefined) return clock.nowMs() - seconds * 1000;
  const time = Date.parse(query.get('sinceTime') ?? '');
  return Number.isNaN(time) ? undefined : time;
}

/**
 * What the kubelet must remember about a container, carried in the container's own annotations, so that a kubelet that
 * starts again (or another version of it) adopts containers as they are.
 */
import { createHash } from 'node:crypto';
import type { Container as ContainerSpec } from '../../api/types/core-v1.js';
import type { Container } from '../runtime/runtime.js';

export const NOTE = {
  specHash: 'skein.dev/spec-hash',
  backoffMs: 'skein.dev/restart-backoff-ms',
  messagePath: 'skein.dev/termination-message-file',
  messagePolicy: 'skein.dev/termination-message-policy',
  graceSeconds: 'skein.dev/grace-seconds',
  preStop: 'skein.dev/pre-stop',
} as const;

/** What a running container may not change under it: in practice its image, the one mutable field. */
export function specHash(spec: ContainerSpec): string {
  return createHash('sha256')
    .update(JSON.stringify([spec.name, spec.image ?? '']))
    .digest('hex')
    .slice(0, 16);
}

export interface BackoffRule {
  /** Wait before the second restart, in milliseconds; the first is at once. */
  readonly baseMs: number;
  /** Longest wait in milliseconds. */
  readonly maxMs: number;
  /** A run of this many milliseconds or more makes the back-off begin anew. */
  readonly resetMs: number;
}

/** The kubelet's own: 10 s doubling to 5 min, forgotten after 10 min. */
export const RESTART_BACKOFF: BackoffRule = { baseMs: 10_000, maxMs: 300_000, resetMs: 600_000 };

export interface RestartTime {
  /** Wall-clock time at which the container may start again. */
  readonly atMs: number;
  /** The wait in force, 0 for none. */
  readonly waitMs: number;
  /** What the next run has to carry. */
  readonly nextMs: number;
}

/** When an exited container may run again: each run carries the wait that follows its end. */
export function restartTime(container: Container, rule: BackoffRule): RestartTime {
  const carried = Number(container.annotations[NOTE.backoffMs] ?? 0) || 0;
  const ranMs = container.startedAtMs > 0 ? container.finishedAtMs - container.startedAtMs : 0;
  if (carried === 0 || ranMs >= rule.resetMs) {
    return { atMs: container.finishedAtMs, waitMs: 0, nextMs: rule.baseMs };
  }
  return { atMs: container.finishedAtMs + carried, waitMs: carried, nextMs: Math.min(carried * 2, rule.maxMs) };
}

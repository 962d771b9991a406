/** A container as the runtime shows it, from what is on disk of it. Pure. */
import type { Container } from '../runtime.js';
import type { StoredContainer } from './process-store.js';
import type { SupervisedState } from './supervisor.js';

/** @param state What its supervisor wrote last; undefined before the first start. */
export function viewOf(stored: StoredContainer, state: SupervisedState | undefined, running: boolean): Container {
  const { config, id, createdAtMs } = stored;
  const exited = state !== undefined && !running;
  const exitCode = exited ? state.exitCode : 0;
  const failedStart = state !== undefined && state.startError !== '';
  const reason = failedStart ? 'ContainerCannotRun' : exitCode === 0 ? 'Completed' : 'Error';
  return {
    id,
    pod: config.pod,
    sandboxId: config.sandboxId,
    name: config.name,
    attempt: config.attempt,
    state: running ? 'running' : exited ? 'exited' : 'created',
    image: config.image,
    imageId: config.imageId,
    createdAtMs,
    startedAtMs: state?.startedAtMs ?? 0,
    finishedAtMs: state?.finishedAtMs ?? 0,
    exitCode,
    reason: exited ? reason : '',
    message: state?.startError ?? '',
    pid: running ? (state?.pid ?? 0) : 0,
    annotations: config.annotations,
  };
}

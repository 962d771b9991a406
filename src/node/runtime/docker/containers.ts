/** The life of one engine container, idempotent where the engine is not. */
import { RuntimeError, type RuntimeErrorCode } from '../runtime.js';
import { statusOf, type DockerEngine } from './engine.js';
import type { InspectionCache } from './inspection-cache.js';
import { LABEL, podOf } from './labels.js';
import type { InspectedContainer } from './observation.js';

/** What the engine's `stop` may take beyond the grace period, in milliseconds: SIGKILL, unmounting. */
const STOP_SLACK_MS = 30_000;

export class EngineContainers {
  constructor(
    private readonly engine: DockerEngine,
    private readonly inspections: InspectionCache,
    private readonly scope: string,
  ) {}

  /** Creates; a leftover of the same pod and attempt that holds the name and does not run is replaced. */
  async create(name: string, body: object, podUid: string, code: RuntimeErrorCode): Promise<string> {
    const call = { query: { name }, body, code };
    const attempt = async () => (await this.engine.json<{ Id: string }>('POST', '/containers/create', call)).Id;
    try {
      return await attempt();
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
      await this.removeLeftover(name, podUid, error);
    }
    return attempt();
  }

  async start(id: string, code: RuntimeErrorCode): Promise<void> {
    try {
      await this.engine.json('POST', `/containers/${id}/start`, { code });
    } catch (error) {
      // 404 here may also mean that the program is missing; only the container's absence is "not found".
      const missing = error instanceof RuntimeError && /^no such container/i.test(error.message);
      if (statusOf(error) === 404 && !missing) throw new RuntimeError(code, messageOf(error), { cause: error });
      throw error;
    } finally {
      // A failed start changes the exit code but not the state.
      this.inspections.forget(id);
    }
  }

  /** SIGTERM (or the image's stop signal), the grace period, SIGKILL. */
  async stop(id: string, graceSeconds: number): Promise<void> {
    const seconds = Math.max(0, Math.ceil(graceSeconds));
    const call = { query: { t: seconds }, extraTimeMs: seconds * 1000 + STOP_SLACK_MS };
    await ignoreAbsent(this.engine.json('POST', `/containers/${id}/stop`, call));
  }

  async kill(id: string): Promise<void> {
    await ignoreAbsent(this.engine.json('POST', `/containers/${id}/kill`, { query: { signal: 'SIGKILL' } }));
  }

  async remove(id: string): Promise<void> {
    try {
      await ignoreAbsent(this.engine.json('DELETE', `/containers/${id}`, { query: { force: true, v: true } }));
    } finally {
      this.inspections.forget(id);
    }
  }

  /** A container that an agent created which died before it could note the id. Never one that runs. */
  private async removeLeftover(name: string, podUid: string, conflict: unknown): Promise<void> {
    const seen = await this.engine.json<InspectedContainer>('GET', `/containers/${name}/json`);
    const ours = podOf(seen.Config.Labels).uid === podUid && seen.Config.Labels[LABEL.scope] === this.scope;
    if (!ours || seen.State.Status === 'running') throw conflict;
    await this.remove(seen.Id);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Stopping or removing what is not there (404) or does not run or is being removed (409) is success. */
async function ignoreAbsent(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    const status = statusOf(error);
    if (status !== 404 && status !== 409) throw error;
  }
}

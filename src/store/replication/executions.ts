/**
 * The requests of a reign: each is executed once on the newest state, whatever copies of it come, and answered when what
 * the answer rests on is certain.
 *
 * An answer that left no trace in the log (a refusal, a write that changed nothing) is remembered here, as long as the
 * reign lasts and up to a limit. Single-threaded: a request runs without yielding.
 */
import { errorText } from '../../base/log.js';
import { ApiError, internalError } from '../../api/errors.js';
import type { LoggedReply } from '../log-entry.js';
import type { Revision, WriteReply } from '../object-store.js';
import { loggedReply } from './batch.js';
import type { ReplicaContext } from './context.js';
import type { LogWriter } from './log-writer.js';

/** An answer, with the revision it rests on. `bodyOf`: the body is what that revision wrote. */
export interface Answer {
  readonly reply: WriteReply;
  readonly bodyOf: Revision | null;
  readonly revision: Revision;
}

/** When an answer may be given. Both reject with `ReignOver` when the next sequencer has to be asked. */
export interface Certainty {
  /** Resolves once everything up to there is acknowledged. */
  acknowledged(revision: Revision): Promise<void>;
  /** Whether a majority of the registered peers has everything up to there: false when that majority is lost. */
  byMajority(revision: Revision): Promise<boolean>;
}

/** Answers kept of requests that changed nothing. More than come within the time in which a request is sent again. */
const UNLOGGED_ANSWERS = 10_000;

export class Executions {
  private readonly unlogged = new Map<string, Promise<Answer>>();

  constructor(
    private readonly context: ReplicaContext,
    private readonly writer: LogWriter,
    private readonly certainty: Certainty,
  ) {}

  /** Executes a request, once, and resolves when its answer may be given. Rejects with `ReignOver`. */
  submit(id: string, request: unknown): Promise<Answer> {
    const logged = this.writer.replyTo(id);
    if (logged) return this.onceCertain(answerOf(logged), logged.majority);
    return this.unlogged.get(id) ?? this.executed(id, request);
  }

  private executed(id: string, request: unknown): Promise<Answer> {
    const { reply, logged, revision } = this.execute(id, request);
    this.writer.flush();
    const answer = this.onceCertain({ reply, bodyOf: logged?.bodyOf ?? null, revision }, reply.majority);
    if (!logged) this.remember(id, answer);
    return answer;
  }

  private execute(id: string, request: unknown): { reply: WriteReply; logged?: LoggedReply; revision: Revision } {
    const { context, writer } = this;
    const transaction = writer.transaction();
    let reply: WriteReply;
    try {
      reply = context.executor(transaction, request);
    } catch (error) {
      context.log.error('a write request failed unexpectedly', { error: errorText(error) });
      const failure = internalError(error);
      return { reply: { code: failure.code, body: failure.toStatus(), warnings: [] }, revision: writer.newest };
    }
    if (reply.code >= 400) return { reply, revision: writer.newest };
    writer.write(transaction);
    const revision = writer.newest;
    if (transaction.writes.length === 0) return { reply, revision };
    const logged = loggedReply(id, reply, transaction.writes, revision);
    writer.writeReply(logged);
    return { reply, logged, revision };
  }

  /** A copy of a request that changed nothing may come when it would change something: it gets the first one's answer. */
  private remember(id: string, answer: Promise<Answer>): void {
    this.unlogged.set(id, answer);
    for (const oldest of this.unlogged.keys()) {
      if (this.unlogged.size <= UNLOGGED_ANSWERS) break;
      this.unlogged.delete(oldest);
    }
  }

  /** The answer, or that it is not certain because the majority was lost before enough peers had the write. */
  private async onceCertain(answer: Answer, needsMajority: true | undefined): Promise<Answer> {
    const { revision } = answer;
    await this.certainty.acknowledged(revision);
    if (!needsMajority || (await this.certainty.byMajority(revision))) return answer;
    const failure = new ApiError(
      504,
      'Timeout',
      'the majority of the registered peers was lost before they had this write: its outcome is unknown',
      { retryAfterSeconds: 1 },
    );
    return { reply: { code: 504, body: failure.toStatus(), warnings: [] }, bodyOf: null, revision };
  }
}

function answerOf(logged: LoggedReply): Answer {
  const bodyOf = logged.bodyOf ?? null;
  const body = logged.body === undefined ? undefined : (JSON.parse(logged.body) as unknown);
  const { code, warnings, annotations, majority, revision } = logged;
  const more = { ...(annotations ? { annotations } : {}), ...(majority ? { majority } : {}) };
  return { reply: { code, warnings, ...more, body }, bodyOf, revision };
}

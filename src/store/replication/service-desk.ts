/** Requests that other peers bring to this one because it is, or was, the sequencer. */
import type { ReplicaContext } from './context.js';
import type { Message } from './messages.js';
import type { Answer } from './executions.js';
import type { Reign } from './reign.js';
import { bodyOf } from './requests.js';

export class ServiceDesk {
  constructor(
    private readonly context: ReplicaContext,
    private readonly reign: () => Reign | undefined,
  ) {}

  onWrite(from: string, { id, request, full }: Message & { t: 'write' }): void {
    const refuse = () => this.context.send(from, { t: 'reply', id, reply: null, bodyOf: null, revision: 0 });
    const reign = this.reign();
    if (!reign) {
      refuse();
      return;
    }
    reign.submit(id, request).then((answer) => this.reply(from, id, answer, full), refuse);
  }

  onRead(from: string, n: number): void {
    const refuse = () => this.context.send(from, { t: 'read-at', n, revision: null });
    const reign = this.reign();
    if (!reign) {
      refuse();
      return;
    }
    reign.readRevision().then((revision) => this.context.send(from, { t: 'read-at', n, revision }), refuse);
  }

  /** A voter gets the body from its own log; to others it is sent. */
  private reply(to: string, id: string, answer: Answer, full: boolean): void {
    const inLog = !full && answer.bodyOf !== null && this.reign()?.view.voters.includes(to) === true;
    const body = inLog ? null : bodyOf(answer, this.context.state);
    this.context.send(to, {
      t: 'reply',
      id,
      reply: { ...answer.reply, body },
      bodyOf: inLog ? answer.bodyOf : null,
      revision: answer.revision,
    });
  }
}

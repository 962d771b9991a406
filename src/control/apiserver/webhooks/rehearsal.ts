/**
 * Runs a write against this peer's own state without any effect, to find out what webhooks are to be asked about. It needs an
 * admission chain of its own: plugins remember what they have given out, and a rehearsal gives out nothing.
 */
import type { Clock } from '../../../base/clock.js';
import type { Random } from '../../../base/random.js';
import type { KindRegistry } from '../../../api/schema/registry.js';
import type { AdmissionAttributes, AdmissionChain } from '../../../security/admission/admission.js';
import { parseKey, type ObjectReader, type WriteReply } from '../../../store/object-store.js';
import { Transaction, type HeadReader } from '../../../store/transaction.js';
import { createWriteExecutor } from '../writes/executor.js';
import type { WriteRequest } from '../writes/write-request.js';

export interface RehearsalDeps {
  readonly registry: KindRegistry;
  readonly random: Random;
  readonly clock: Clock;
  readonly store: ObjectReader;
  readonly admission: AdmissionChain;
}

export interface Rehearsed {
  /** The objects that the write is about, in order, after built-in mutation. */
  readonly subjects: readonly AdmissionAttributes[];
  /** Undefined when the rehearsal ended after mutation. */
  readonly reply: WriteReply | undefined;
}

/** `admitted`: up to the end of built-in mutation of a new state; `validated`: all the way. Deletions always run through. */
export type Rehearse = (request: WriteRequest, until: 'admitted' | 'validated') => Rehearsed;

class Halt extends Error {}

export function createRehearsal({ store, clock, ...deps }: RehearsalDeps): Rehearse {
  const head: HeadReader = {
    get: (key) => store.get(parseKey(key)),
    list: (group, resource, namespace) => [...store.list(group, resource, namespace)],
  };
  return (request, until) => {
    const subjects: AdmissionAttributes[] = [];
    const executor = createWriteExecutor({
      ...deps,
      onAdmitted: (attributes) => {
        subjects.push(attributes);
        if (until === 'admitted' && attributes.operation !== 'DELETE') throw new Halt();
      },
    });
    try {
      const reply = executor(new Transaction(head, store.revision + 1, clock.nowMs()), request);
      return { subjects, reply };
    } catch (error) {
      if (error instanceof Halt) return { subjects, reply: undefined };
      throw error;
    }
  };
}

/** Answers of a reign that wait until what they rest on is certain. */
import type { Revision } from '../object-store.js';

/** The reign ended before the answer was certain: ask the next sequencer, with the same id. */
export class ReignOver extends Error {
  readonly code = 'ERR_REIGN_OVER';
  constructor() {
    super('the sequencer changed');
  }
}

interface Waiter<T> {
  readonly revision: Revision;
  resolve(value: T): void;
  reject(error: ReignOver): void;
}

export class Waiters {
  private acknowledgements: Waiter<void>[] = [];
  /** They resolve with false when the majority is lost before. */
  private majorities: Waiter<boolean>[] = [];
  private over = false;

  /** Resolves once {@link acknowledge} came that far. Rejects with {@link ReignOver}. */
  acknowledged(revision: Revision): Promise<void> {
    if (this.over) return Promise.reject(new ReignOver());
    return new Promise((resolve, reject) => this.acknowledgements.push({ revision, resolve, reject }));
  }

  /** Resolves once a majority of the registered peers is known to have the revision, or to be lost. Rejects with {@link ReignOver}. */
  byMajority(revision: Revision): Promise<boolean> {
    if (this.over) return Promise.reject(new ReignOver());
    return new Promise((resolve, reject) => this.majorities.push({ revision, resolve, reject }));
  }

  acknowledge(upTo: Revision): void {
    const ready = this.acknowledgements.filter(({ revision }) => revision <= upTo);
    if (ready.length === 0) return;
    this.acknowledgements = this.acknowledgements.filter(({ revision }) => revision > upTo);
    for (const waiter of ready) waiter.resolve();
  }

  get awaitsMajority(): boolean {
    return this.majorities.length > 0;
  }

  /** A majority has everything up to `certain`; `lost`: it will not have more. */
  settleMajority(certain: Revision, lost: boolean): void {
    const waiting = this.majorities;
    this.majorities = waiting.filter(({ revision }) => !lost && revision > certain);
    for (const waiter of waiting) {
      if (waiter.revision <= certain) waiter.resolve(true);
      else if (lost) waiter.resolve(false);
    }
  }

  stop(): void {
    this.over = true;
    const waiting = [...this.acknowledgements, ...this.majorities];
    this.acknowledgements = [];
    this.majorities = [];
    for (const waiter of waiting) waiter.reject(new ReignOver());
  }
}

/** Lets the audit log see what a request carried and what was answered, without standing in the way of either. */
import type { ApiRequest } from './exchange.js';

export interface ExchangeObserver {
  /** The whole body, before anything is done with it. */
  body?(bytes: Buffer, contentType: string): void;
  /** An answer that is sent in one piece, uncompressed. */
  answer?(code: number, bytes: Buffer, contentType: string): void;
  /** The first bytes of an answer that goes on (watches, logs, exec). */
  started?(): void;
}

const observers = new WeakMap<ApiRequest, ExchangeObserver>();

export function observeExchange(request: ApiRequest, observer: ExchangeObserver): void {
  observers.set(request, observer);
}

export const observerOf = (request: ApiRequest): ExchangeObserver | undefined => observers.get(request);

/**
 * The clock seam. Every component takes a `Clock`; nothing outside `base/` calls `Date.now` or `setTimeout`, so the
 * simulator can run the real code on virtual time.
 */

/** Cancels a timer; calling it again, or after the timer fired, does nothing. */
export type Cancel = () => void;

export interface Clock {
  /** Wall-clock time in milliseconds since the Unix epoch. May jump. */
  nowMs(): number;
  /** Monotonic milliseconds from an arbitrary origin. Never goes backwards. Use it for durations. */
  monotonicMs(): number;
  /** Resolves after `ms`. Rejects with the signal's reason if it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms`; 0: as soon as what is waiting has had its turn. Does not keep the process alive by itself. */
  timer(ms: number, fn: () => void): Cancel;
  /** Calls `fn` every `ms`. Does not keep the process alive by itself. */
  interval(ms: number, fn: () => void): Cancel;
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(abortReason(signal));
        return;
      }
      const onAbort = () => {
        clearTimeout(handle);
        reject(abortReason(signal as AbortSignal));
      };
      const handle = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  },
  timer(ms, fn) {
    if (ms <= 0) {
      // A timeout of 0 waits a whole millisecond.
      const next = setImmediate(fn);
      next.unref();
      return () => clearImmediate(next);
    }
    const handle = setTimeout(fn, ms);
    handle.unref();
    return () => clearTimeout(handle);
  },
  interval(ms, fn) {
    const handle = setInterval(fn, ms);
    handle.unref();
    return () => clearInterval(handle);
  },
};

/** The error an aborted wait rejects with. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason });
}

/** RFC 3339 with whole seconds, the form of `metav1.Time`. */
export function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

/** RFC 3339 with microseconds, the form of `metav1.MicroTime`. */
export function rfc3339Micro(ms: number): string {
  return new Date(ms).toISOString().replace(/Z$/, '000Z');
}

import type { ProxyState } from './model.js';

/** Makes a {@link ProxyState} true on this machine. Calls never overlap. */
export interface Proxier {
  /** `full`: trust nothing of what was done before. A rejection is retried with `full`. */
  sync(state: ProxyState, full: boolean): Promise<void>;
  /** Ends what needs this process. What works without it (kernel rules) stays. */
  stop(): Promise<void>;
  /** Removes everything that was made. */
  cleanup(): Promise<void>;
}

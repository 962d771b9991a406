/** A cluster that rows are run against. */
import type { Api } from '../framework/http.js';

export interface Cluster {
  readonly description: string;
  readonly api: Api;
  /** One for each peer. */
  readonly kubeconfigs: readonly string[];
  /** False where there is nothing but an API server. */
  readonly hasControllers: boolean;
  stop(): Promise<void>;
}

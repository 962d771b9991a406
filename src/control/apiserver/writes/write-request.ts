/** A write as it travels to the sequencer: plain data and bytes only. */
import type { FieldValidation } from '../../../api/schema/decode.js';
import type { UserInfo } from '../../../security/authn/user.js';

export type WriteVerb = 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply';

/** `metav1.DeleteOptions` as far as the server acts on it. */
export interface DeleteParameters {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: string;
  readonly orphanDependents?: boolean;
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface WriteRequest {
  /** The client request's UUID; the same on every retry. */
  readonly id: string;
  readonly verb: WriteVerb;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  /** Empty for the object itself. */
  readonly subresource: string;
  /** Empty for cluster-scoped resources. */
  readonly namespace: string;
  /** Empty for create and deletecollection. */
  readonly name: string;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  /** Server-side apply takes over conflicting fields. */
  readonly force: boolean;
  /** Empty when `object` is given. */
  readonly contentType: string;
  /** The request body as received; or, from components in this process, the parsed value in `object`. */
  readonly body?: Uint8Array;
  readonly object?: unknown;
  readonly patch?: PatchKind;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Deletion options from the query; those of the body win. */
  readonly deletion?: DeleteParameters;
}

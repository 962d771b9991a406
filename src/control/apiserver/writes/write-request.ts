/** A write as it travels to the sequencer: plain data and bytes only. */
import type { KubeObject } from '../../../api/object.js';
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

/** What admission webhooks made of a request before it was submitted. */
export interface Admitted {
  /** The object to be stored, whole; absent when they only agreed. */
  readonly object?: KubeObject;
  /** The resourceVersion of each object that they were asked about, by `namespace/name`; for a new object `''` by `''`. */
  readonly bases: Readonly<Record<string, string>>;
  /**
   * Whether validating webhooks have agreed. They are not asked about a write that this peer's own state refuses: such a
   * write is submitted for the sequencer to refuse, and is stale should it be acceptable there.
   */
  readonly judged: boolean;
}

/** An answer of a conversion webhook; `key` tells for which object and version. */
export interface ConvertedObject {
  readonly key: string;
  readonly object: unknown;
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
  /**
   * Made by a component of this cluster: what it creates has no owners of fields until somebody else says whose they are. The pods
   * of controllers would double in size for entries that nobody reads.
   */
  readonly unowned?: boolean;
  /** Server-side apply takes over conflicting fields. */
  readonly force: boolean;
  /** Empty when `object` is given. */
  readonly contentType: string;
  /** The request body as received; or, from components in this process, the parsed value in `object`. */
  readonly body?: Uint8Array;
  readonly object?: unknown;
  readonly patch?: PatchKind;
  /** See `WriteOptions`; requests over HTTP never carry it. */
  readonly reallocate?: boolean;
  /** Why the user may not create an object of this name: for updates and applies that would, when it is absent. */
  readonly creationRefused?: string;
  /** deletecollection goes on after this place (`namespace\\u0000name`), where its last piece ended. */
  readonly collectionAfter?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Deletion options from the query; those of the body win. */
  readonly deletion?: DeleteParameters;
  /** Conversions that the sequencer needs and cannot ask for. */
  readonly conversions?: readonly ConvertedObject[];
  /** Set by the webhook stage only. The write is refused as stale when another state is present than it was based on. */
  readonly admitted?: Admitted;
}

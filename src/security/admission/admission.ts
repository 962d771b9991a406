/**
 * Admission: what the cluster adds to, and refuses about, a decoded and defaulted object before it is stored. Plugins run
 * inside the write on the sequencer: synchronously, on the newest state, all mutations before all validations.
 */
import type { KubeObject } from '../../api/object.js';
import type { ResourceVersion } from './policy/matching.js';

/** Who makes the request, as authentication found out. */
export interface Requester {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** What a plugin may do besides changing the object. */
export interface AdmissionEffects {
  /** Adds a text for a `Warning:` header of the answer. */
  warn(text: string): void;
  /** Adds to what the audit log says of the request. */
  annotate(key: string, value: string): void;
  /** Writes another object in the same transaction. Only from {@link AdmissionPlugin.committed}. */
  put(group: string, resource: string, object: KubeObject): void;
}

export interface AdmissionAttributes {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  /** Of the resource, also where a subresource is meant. */
  readonly kind: string;
  /** Empty for the object itself. */
  readonly subresource: string;
  /** Empty for cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
  readonly user: Requester;
  readonly dryRun: boolean;
  readonly effects: AdmissionEffects;
  /** The object to be stored, or the body of a subresource that has its own; plugins change it in place. Absent for DELETE. */
  readonly object?: KubeObject;
  /** The present, frozen object. Absent for CREATE. */
  readonly oldObject?: KubeObject;
}

/** The newest state, valid only during the call. */
export interface AdmissionLookups {
  readonly nowMs: number;
  get(group: string, resource: string, namespace: string, name: string): KubeObject | undefined;
  list(group: string, resource: string, namespace?: string): readonly KubeObject[];
  /** An object of the resource `of` as its equivalent `as` shows it; never changed. Throws an `ApiError`. */
  inVersion(object: KubeObject, of: ResourceVersion, as: ResourceVersion): KubeObject;
}

export interface AdmissionPlugin {
  readonly name: string;
  /** Whether the plugin has anything to do; asked first, must be cheap. */
  handles(attributes: AdmissionAttributes): boolean;
  /** Changes `attributes.object` in place. Throws an `ApiError` to refuse. */
  admit?(attributes: AdmissionAttributes, lookups: AdmissionLookups): void;
  /** Throws an `ApiError` to refuse. */
  validate?(attributes: AdmissionAttributes, lookups: AdmissionLookups): void;
  /** The write of `attributes.object` (or the deletion of `oldObject`) has been done in this transaction. */
  committed?(attributes: AdmissionAttributes, stored: KubeObject): void;
}

/** Plugins in order. */
export class AdmissionChain {
  constructor(private readonly plugins: readonly AdmissionPlugin[]) {}

  admit(attributes: AdmissionAttributes, lookups: AdmissionLookups): void {
    for (const plugin of this.plugins)
      if (plugin.admit && plugin.handles(attributes)) plugin.admit(attributes, lookups);
  }

  validate(attributes: AdmissionAttributes, lookups: AdmissionLookups): void {
    for (const plugin of this.plugins) {
      if (plugin.validate && plugin.handles(attributes)) plugin.validate(attributes, lookups);
    }
  }

  committed(attributes: AdmissionAttributes, stored: KubeObject): void {
    for (const plugin of this.plugins) {
      if (plugin.committed && plugin.handles(attributes)) plugin.committed(attributes, stored);
    }
  }
}

/** A pod is being created, as opposed to changed or addressed through a subresource. */
export const isPodCreation = ({ operation, group, resource, subresource }: AdmissionAttributes): boolean =>
  operation === 'CREATE' && resource === 'pods' && group === '' && subresource === '';

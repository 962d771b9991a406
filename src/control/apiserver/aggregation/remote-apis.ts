/**
 * The APIServices as this peer's store has them: which versions other servers serve, and in which order discovery shows
 * everything. What skein serves itself of Kubernetes' own groups cannot be handed over.
 */
import type { KubeObject } from '../../../api/object.js';
import { APISERVICES } from '../../../api/resource.js';
import { compareVersions, type GroupInfo } from '../../../api/schema/registry.js';
import type { APIService } from '../../../api/types/apiregistration-v1.js';
import type { FollowedResource } from '../../../store/follower.js';
import type { StoreEvent } from '../../../store/object-store.js';
import type { ServiceTarget } from '../proxy/service-resolver.js';

/** A version of a group that an aggregated server serves. */
export interface RemoteApi {
  /** Of the APIService. */
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly service: ServiceTarget;
  /** PEM of who vouches for the server; absent: whom this machine trusts. */
  readonly ca?: string;
  readonly insecureSkipTlsVerify: boolean;
  /** What its `Available` condition says. */
  readonly isAvailable: boolean;
  /** Changes with every change of the object. */
  readonly revision: string;
}

const DEFAULT_PORT = 443;
/** Of groups and versions that no APIService tells of: where those of CustomResourceDefinitions are. */
const OTHER_GROUP = 1_000;
const OTHER_VERSION = 100;

/** `group/version` of a path that belongs to one version: below `/apis/`, or its OpenAPI v3 document. */
const VERSION_PATH = /^\/(?:apis\/([^/]+\/[^/]+)(?:\/.*)?|openapi\/v3\/apis\/([^/]+\/[^/]+))$/;

/** Undefined for one that names no server. */
export function remoteApiOf({ metadata, spec, status }: APIService): RemoteApi | undefined {
  const { group = '', version = '', service } = spec ?? {};
  if (!service) return undefined;
  const { namespace = '', name = '', port = DEFAULT_PORT } = service;
  return {
    name: metadata.name ?? '',
    group,
    version,
    service: { namespace, name, port },
    ...(spec?.caBundle ? { ca: Buffer.from(spec.caBundle, 'base64').toString() } : {}),
    insecureSkipTlsVerify: spec?.insecureSkipTLSVerify === true,
    isAvailable: (status?.conditions ?? []).some(({ type, status: value }) => type === 'Available' && value === 'True'),
    revision: metadata.resourceVersion ?? '',
  };
}

export class RemoteApis implements FollowedResource {
  readonly group = APISERVICES.group;
  readonly resource = APISERVICES.resource;
  private readonly services = new Map<string, APIService>();
  private readonly remote = new Map<string, RemoteApi>();
  private changes = 0;

  /**
   * @param isOwn whether a group is served here whatever an APIService says
   * @param onChange told of the name of each APIService that names another server, or did
   */
  constructor(
    private readonly isOwn: (group: string) => boolean,
    private readonly onChange: (name: string) => void,
  ) {}

  /** Counts the changes of all APIServices. */
  get generation(): number {
    return this.changes;
  }

  find(group: string, version: string): RemoteApi | undefined {
    return this.remote.get(`${group}/${version}`);
  }

  /** Who serves a path. */
  at(pathname: string): RemoteApi | undefined {
    if (this.remote.size === 0) return undefined;
    const [, api, document] = VERSION_PATH.exec(pathname) ?? [];
    return this.remote.get(api ?? document ?? '');
  }

  named(name: string): RemoteApi | undefined {
    const service = this.services.get(name);
    return service && this.find(service.spec?.group ?? '', service.spec?.version ?? '');
  }

  list(): readonly RemoteApi[] {
    return [...this.remote.values()];
  }

  /** The versions that other servers serve, by group. */
  versions(): ReadonlyMap<string, readonly string[]> {
    const found = new Map<string, string[]>();
    for (const { group, version } of this.remote.values()) found.set(group, [...(found.get(group) ?? []), version]);
    return found;
  }

  /**
   * Groups by the highest `groupPriorityMinimum` of their versions, those versions by `versionPriority`; what is equal in that by
   * name, the more stable version first (as kube-aggregator sorts them).
   */
  ordered(groups: readonly GroupInfo[]): GroupInfo[] {
    const priorities = new Map(groups.map(({ group, versions }) => [group, this.groupPriority(group, versions)]));
    const priorityOf = (group: string, version: string) =>
      this.specOf(group, version)?.versionPriority ?? OTHER_VERSION;
    return groups
      .map(({ group, versions }) => ({
        group,
        versions: versions.toSorted((a, b) => priorityOf(group, b) - priorityOf(group, a) || compareVersions(a, b)),
      }))
      .toSorted(
        (a, b) => (priorities.get(b.group) ?? 0) - (priorities.get(a.group) ?? 0) || (a.group < b.group ? -1 : 1),
      );
  }

  reset(objects: readonly KubeObject[]): void {
    const gone = [...this.services.keys()];
    this.services.clear();
    this.remote.clear();
    for (const object of objects) this.put(object as APIService);
    for (const name of gone) this.onChange(name);
  }

  changed({ type, object }: StoreEvent): void {
    const name = object.metadata.name ?? '';
    if (type !== 'DELETED') this.put(object as APIService);
    else if (this.remove(name)) this.onChange(name);
  }

  private put(service: APIService): void {
    const name = service.metadata.name ?? '';
    const had = this.remove(name);
    this.changes += 1;
    this.services.set(name, service);
    const api = remoteApiOf(service);
    const isRemote = api !== undefined && !this.isOwn(api.group);
    if (isRemote) this.remote.set(`${api.group}/${api.version}`, api);
    if (isRemote || had) this.onChange(name);
  }

  /** Whether it named another server. */
  private remove(name: string): boolean {
    const service = this.services.get(name);
    if (!service) return false;
    this.changes += 1;
    this.services.delete(name);
    return this.remote.delete(`${service.spec?.group ?? ''}/${service.spec?.version ?? ''}`);
  }

  private groupPriority(group: string, versions: readonly string[]): number {
    const known = versions.map((version) => this.specOf(group, version)?.groupPriorityMinimum ?? OTHER_GROUP);
    return Math.max(...known);
  }

  private specOf(group: string, version: string) {
    return this.services.get(`${version}.${group}`)?.spec;
  }
}

/** The verbs on one resource, in one namespace or in all. Each is one request; refusals reject. */
import { Refusal, type Api, type Call, type Json } from './http.js';
import { Watch } from './watch.js';

export type Query = NonNullable<Call['query']>;
export type PatchType = 'merge' | 'strategic' | 'json' | 'apply';

const PATCH_TYPES: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

/** How often an update is tried again after somebody else's came first, as clients are told to do. */
const CONFLICT_TRIES = 8;

export class Resource {
  constructor(
    readonly api: Api,
    /** `v1` or `group/version`. */
    readonly groupVersion: string,
    readonly plural: string,
    readonly namespace?: string,
  ) {}

  in(namespace: string | undefined): Resource {
    return new Resource(this.api, this.groupVersion, this.plural, namespace);
  }

  path(name = '', subresource = ''): string {
    const root = this.groupVersion.includes('/') ? `/apis/${this.groupVersion}` : `/api/${this.groupVersion}`;
    const parts = [root, ...(this.namespace === undefined ? [] : ['namespaces', this.namespace]), this.plural];
    return [...parts, name, subresource].filter(Boolean).join('/');
  }

  create(object: unknown, query: Query = {}): Promise<Json> {
    return this.api.call('POST', this.path(), { body: object, query });
  }

  get(name: string, subresource = '', query: Query = {}): Promise<Json> {
    return this.api.get(this.path(name, subresource), { query });
  }

  list(query: Query = {}): Promise<Json> {
    return this.api.get(this.path(), { query });
  }

  async items(labelSelector?: string): Promise<Json[]> {
    return (await this.list({ labelSelector })).items;
  }

  /** The names in a list, sorted. */
  async names(labelSelector?: string): Promise<string[]> {
    return (await this.items(labelSelector)).map((item: Json) => String(item.metadata.name)).toSorted();
  }

  replace(object: Json, subresource = '', query: Query = {}): Promise<Json> {
    return this.api.call('PUT', this.path(object.metadata.name, subresource), { body: object, query });
  }

  /** Reads, changes and replaces; again when somebody else changed the object in between. */
  async update(name: string, change: (object: Json) => void, subresource = ''): Promise<Json> {
    for (let tries = 1; ; tries++) {
      const object = await this.get(name, subresource);
      change(object);
      try {
        return await this.replace(object, subresource);
      } catch (error) {
        if (!(error instanceof Refusal && error.reason === 'Conflict') || tries === CONFLICT_TRIES) throw error;
      }
    }
  }

  patch(name: string, patch: unknown, type: PatchType = 'merge', subresource = '', query: Query = {}): Promise<Json> {
    const call: Call = { body: patch, type: PATCH_TYPES[type], query };
    return this.api.call('PATCH', this.path(name, subresource), call);
  }

  delete(name: string, options?: Json): Promise<Json> {
    return this.api.call('DELETE', this.path(name), options === undefined ? {} : { body: options });
  }

  deleteCollection(labelSelector: string, options?: Json): Promise<Json> {
    const body = options === undefined ? {} : { body: options };
    return this.api.call('DELETE', this.path(), { query: { labelSelector }, ...body });
  }

  async exists(name: string): Promise<boolean> {
    const { status } = await this.api.send('GET', this.path(name));
    if (status !== 200 && status !== 404) throw new Error(`GET ${this.path(name)}: ${status}`);
    return status === 200;
  }

  watch(query: Query = {}): Promise<Watch> {
    return Watch.open(this.api, this.path(), query);
  }
}

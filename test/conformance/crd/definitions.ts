/** CustomResourceDefinitions with names that nobody else has, and their custom resources. */
import { eventually } from '../framework/expect.js';
import type { Context } from '../framework/context.js';
import type { Json } from '../framework/http.js';
import { Resource } from '../framework/resource.js';

const GROUP_VERSION = 'apiextensions.k8s.io/v1';

export const definitions = (t: Context): Resource => t.resource(GROUP_VERSION, 'customresourcedefinitions');

/** Whatever is in it is kept. */
export const ANYTHING: Json = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

export interface Wanted {
  readonly group?: string;
  readonly kind?: string;
  readonly plural?: string;
  readonly labels?: Json;
  /** Schema by version; the first is stored. */
  readonly versions?: Readonly<Record<string, Json>>;
  readonly clusterScoped?: boolean;
  readonly status?: boolean;
}

export interface Defined {
  readonly name: string;
  readonly group: string;
  readonly kind: string;
  readonly plural: string;
  /** The custom resources, at the stored version unless another is asked for. */
  readonly resource: (namespace?: string, version?: string) => Resource;
}

export function definition(t: Context, wanted: Wanted = {}): Json {
  const random = t.unique('e').slice(2);
  const group = wanted.group ?? `crd-${random}.example.com`;
  const kind = wanted.kind ?? `Kind${random}`;
  const plural = wanted.plural ?? `${kind.toLowerCase()}s`;
  const versions = Object.entries(wanted.versions ?? { v1: ANYTHING }).map(([name, openAPIV3Schema], i) => ({
    name,
    served: true,
    storage: i === 0,
    schema: { openAPIV3Schema },
    ...(wanted.status ? { subresources: { status: {} } } : {}),
  }));
  const names = { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` };
  const scope = wanted.clusterScoped ? 'Cluster' : 'Namespaced';
  return {
    apiVersion: GROUP_VERSION,
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: wanted.labels ?? {} },
    spec: { group, names, scope, versions },
  };
}

/** Creates it, and waits until every peer serves it. */
export async function define(t: Context, wanted: Wanted = {}): Promise<Defined> {
  const object = definition(t, wanted);
  const { name } = object.metadata;
  await definitions(t).create(object);
  t.cleanup(() => definitions(t).delete(name));
  await established(t, name);
  const { group, names, versions } = object.spec;
  const defined: Defined = {
    name,
    group,
    kind: names.kind,
    plural: names.plural,
    resource: (namespace, version = versions[0].name) => t.resource(`${group}/${version}`, names.plural, namespace),
  };
  for (const { name: version } of versions) await served(t, `${group}/${version}`, names.plural);
  return defined;
}

export async function established(t: Context, name: string): Promise<Json> {
  return eventually(`${name} to be established`, async () => {
    const object = await definitions(t).get(name);
    const condition = object.status?.conditions?.find(({ type }: Json) => type === 'Established');
    return condition?.status === 'True' ? object : undefined;
  });
}

async function served(t: Context, groupVersion: string, plural: string): Promise<void> {
  for (const peer of t.api.eachPeer) {
    const resource = new Resource(peer, groupVersion, plural);
    await eventually(`${plural} of ${groupVersion} to be served`, async () => {
      const { status } = await peer.send('GET', resource.path());
      return status === 200;
    });
  }
}

/** What discovery must say of a resource. */
import assert from 'node:assert/strict';
import type { Api, Json } from './http.js';

export const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** The group at /apis, its version at /apis/<group>, the resources (and subresources) at /apis/<group>/<version>. */
export async function discovers(api: Api, groupVersion: string, resources: readonly string[]): Promise<void> {
  const [group, version] = groupVersion.split('/');
  if (version !== undefined) {
    const { groups } = await api.get('/apis');
    const entry = groups.find(({ name }: Json) => name === group);
    assert.ok(entry, `/apis does not list the group ${group}`);
    assert.ok(lists(entry.versions, groupVersion), `/apis does not list ${groupVersion}`);
    const { versions } = await api.get(`/apis/${group}`);
    assert.ok(lists(versions, groupVersion), `/apis/${group} does not list ${groupVersion}`);
  }
  const document = await api.get(version === undefined ? `/api/${groupVersion}` : `/apis/${groupVersion}`);
  assert.equal(document.groupVersion, groupVersion);
  const names = document.resources.map(({ name }: Json) => name);
  for (const resource of resources) assert.ok(names.includes(resource), `${groupVersion} does not list ${resource}`);
}

const lists = (versions: Json[], groupVersion: string) =>
  versions.some((entry: Json) => entry.groupVersion === groupVersion);

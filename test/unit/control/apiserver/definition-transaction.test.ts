import assert from 'node:assert/strict';
import type { KubeObject } from '../../../../src/api/object.js';
import {
  definitionKey,
  DefinitionTransaction,
} from '../../../../src/control/apiserver/customresources/definition-transaction.js';
import type { ObjectKey, WriteTransaction } from '../../../../src/store/object-store.js';

const pathOf = ({ group, resource, namespace, name }: ObjectKey) => [group, resource, namespace, name].join('/');

/** A transaction that keeps objects by their keys. */
function keeping(objects: Map<string, KubeObject>): WriteTransaction {
  return {
    nowMs: 0,
    get: (key) => objects.get(pathOf(key)),
    list: (group, resource) =>
      [...objects].filter(([path]) => path.startsWith(`${group}/${resource}/`)).map(([, object]) => object),
    put: (key, object) => {
      objects.set(pathOf(key), object);
      return object;
    },
    delete: (key) => {
      const last = objects.get(pathOf(key));
      objects.delete(pathOf(key));
      return last;
    },
  };
}

describe('writes of definitions', () => {
  const widget = (name: string): KubeObject => ({
    apiVersion: 'a.io/v1',
    kind: 'Widget',
    metadata: { name, namespace: 'ns' },
  });
  const definition = {
    metadata: { name: 'widgets.a.io' },
    spec: {
      group: 'a.io',
      scope: 'Namespaced',
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  } as unknown as KubeObject;

  it('does not bring back what a merge left of a definition that had been deleted', () => {
    const objects = new Map([
      ['a.io/widgets/ns/left', widget('left')],
      ['b.io/widgets/ns/other', widget('other')],
    ]);
    const transaction = new DefinitionTransaction(keeping(objects));
    transaction.put(definitionKey('widgets.a.io'), definition);
    assert.deepEqual([...objects.keys()].toSorted(), [
      'apiextensions.k8s.io/customresourcedefinitions//widgets.a.io',
      'b.io/widgets/ns/other',
    ]);
    objects.set('a.io/widgets/ns/new', widget('new'));
    transaction.put(definitionKey('widgets.a.io'), definition);
    assert.ok(objects.has('a.io/widgets/ns/new'));
  });
});

import assert from 'node:assert/strict';
import { Ledger, type ShownState } from '../../../scripts/chaos.d/ledger.js';

const shown = (data: Record<string, Record<string, string>>, appends: string[] = []): ShownState => ({
  configMaps: Object.entries(data).map(([name, fields]) => ({ metadata: { name }, data: fields })),
  appends,
});

describe('the ledger of a chaos run', () => {
  it('finds created objects that are gone, and deleted or refused ones that are there', () => {
    const ledger = new Ledger();
    for (const name of ['kept', 'gone', 'deleted', 'back']) ledger.created(name, 'acknowledged');
    ledger.created('refused', 'refused');
    ledger.created('perhaps', 'unknown');
    for (const name of ['deleted', 'back']) {
      ledger.deleting(name);
      ledger.deleted(name);
    }
    const { lost, resurrected } = ledger.expectation()(shown({ kept: {}, back: {}, refused: {} }));
    assert.deepEqual(lost, ['configmap gone: was created']);
    assert.deepEqual(resurrected, ['configmap back: was deleted', 'configmap refused: its creation was refused']);
  });

  it('does not blame the cluster for what it was told after the state was asked for', () => {
    const ledger = new Ledger();
    ledger.created('old', 'acknowledged');
    ledger.fieldWritten('shared-0', 'h1', 'h1', 1, 'acknowledged');
    const judge = ledger.expectation();
    ledger.deleting('old');
    ledger.created('new', 'acknowledged');
    ledger.fieldWritten('shared-0', 'h1', 'h1', 2, 'acknowledged');
    assert.deepEqual(judge(shown({ 'shared-0': { h1: 'h1:1' } })).lost, []);
    assert.equal(ledger.expectation()(shown({ 'shared-0': { h1: 'h1:1' } })).lost.length, 2);
  });

  it('wants every acknowledged append once, and no refused one', () => {
    const ledger = new Ledger();
    ledger.appended('a-1', 'acknowledged');
    ledger.appended('a-2', 'refused');
    ledger.appended('a-3', 'unknown');
    ledger.appended('a-4', 'acknowledged');
    assert.deepEqual(ledger.expectation()(shown({}, ['a-1', 'a-4'])).majority, []);
    assert.deepEqual(ledger.expectation()(shown({}, ['a-1', 'a-3', 'a-4'])).majority, []);
    assert.deepEqual(ledger.expectation()(shown({}, ['a-1', 'a-1', 'a-2'])).majority, [
      'lease append a-1: is there 2 times',
      'lease append a-2: was refused and is there',
      'lease append a-4: was acknowledged and is lost',
    ]);
  });
});

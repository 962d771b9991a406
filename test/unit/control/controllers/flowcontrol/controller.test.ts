import assert from 'node:assert/strict';
import { AUTO_UPDATE } from '../../../../../src/api/flowcontrol/defaults.js';
import { FLOWSCHEMAS, PRIORITYLEVELCONFIGURATIONS } from '../../../../../src/api/resource.js';
import type { FlowSchema, PriorityLevelConfiguration } from '../../../../../src/api/types/flowcontrol-v1.js';
import { flowControlController } from '../../../../../src/control/controllers/flowcontrol/controller.js';
import { harness, type Harness } from '../harness.js';

describe('flow control configuration', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(flowControlController(h));
  });
  afterEach(() => h.stop());

  const level = (name: string) => h.client.get<PriorityLevelConfiguration>(PRIORITYLEVELCONFIGURATIONS, '', name);

  it('makes the default schemas and levels, and none of them dangles', async () => {
    await h.clock.advance(10);
    assert.equal(h.client.all(PRIORITYLEVELCONFIGURATIONS).length, 8);
    const flows = h.client.all<FlowSchema>(FLOWSCHEMAS);
    assert.equal(flows.length, 13);
    for (const { status, metadata } of flows) assert.equal(status?.conditions?.[0]?.status, 'False', metadata.name);
  });

  it('puts back what was deleted or changed, unless the user took it over', async () => {
    await h.clock.advance(10);
    await h.client.delete(PRIORITYLEVELCONFIGURATIONS, '', 'system');
    const high = await level('workload-high');
    await h.client.update(PRIORITYLEVELCONFIGURATIONS, {
      ...high,
      metadata: { ...high.metadata, annotations: { [AUTO_UPDATE]: 'false' } },
      spec: { ...high.spec, limited: { ...high.spec?.limited, nominalConcurrencyShares: 7 } },
    });
    const low = await level('workload-low');
    await h.client.update(PRIORITYLEVELCONFIGURATIONS, {
      ...low,
      spec: { ...low.spec, limited: { ...low.spec?.limited, nominalConcurrencyShares: 7 } },
    });
    await h.clock.advance(10);
    assert.equal((await level('system')).spec?.limited?.nominalConcurrencyShares, 30);
    assert.equal((await level('workload-high')).spec?.limited?.nominalConcurrencyShares, 7);
    assert.equal((await level('workload-low')).spec?.limited?.nominalConcurrencyShares, 100);
  });

  it('says which schemas refer to a level that is not there', async () => {
    await h.client.create<FlowSchema>(FLOWSCHEMAS, {
      metadata: { name: 'mine' },
      spec: { priorityLevelConfiguration: { name: 'none' }, matchingPrecedence: 50 },
    });
    await h.clock.advance(10);
    const conditionOf = async () => (await h.client.get<FlowSchema>(FLOWSCHEMAS, '', 'mine')).status?.conditions?.[0];
    assert.deepEqual(
      { ...(await conditionOf()), lastTransitionTime: '' },
      {
        type: 'Dangling',
        status: 'True',
        reason: 'NotFound',
        message:
          'This FlowSchema references the PriorityLevelConfiguration object named "none" but there is no such object',
        lastTransitionTime: '',
      },
    );
    await h.client.create<PriorityLevelConfiguration>(PRIORITYLEVELCONFIGURATIONS, {
      metadata: { name: 'none' },
      spec: { type: 'Limited' },
    });
    await h.clock.advance(10);
    assert.equal((await conditionOf())?.status, 'False');
  });
});

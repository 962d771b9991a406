import assert from 'node:assert/strict';
import { DEFINITIONS } from '../../../../../src/api/customresources/status.js';
import { APISERVICES } from '../../../../../src/api/resource.js';
import type { APIService } from '../../../../../src/api/types/apiregistration-v1.js';
import { apiServicesController } from '../../../../../src/control/controllers/apiservices/controller.js';
import {
  AUTO_MANAGED,
  localApiService,
  planApiServices,
} from '../../../../../src/control/controllers/apiservices/plan.js';
import { harness, type Harness } from '../harness.js';

describe('APIServices of what is served here', () => {
  let h: Harness;
  beforeEach(async () => {
    h = harness();
    await h.run(
      apiServicesController(h, () => [
        { group: '', version: 'v1' },
        { group: 'apps', version: 'v1' },
      ]),
    );
    await h.clock.advance(10);
  });
  afterEach(() => h.stop());

  const names = () => h.client.all<APIService>(APISERVICES).map(({ metadata }) => metadata.name);

  it('are there for built-in groups, and come back when deleted', async () => {
    assert.deepEqual(names(), ['v1.', 'v1.apps']);
    await h.client.delete(APISERVICES, '', 'v1.apps');
    await h.clock.advance(10);
    assert.deepEqual(names(), ['v1.', 'v1.apps']);
  });

  it('come and go with the served versions of definitions', async () => {
    const versions = [
      { name: 'v1', served: true, storage: true },
      { name: 'v0', served: false, storage: false },
    ];
    await h.client.create(DEFINITIONS, {
      metadata: { name: 'crons.example.com' },
      spec: { group: 'example.com', versions, scope: 'Namespaced', names: { plural: 'crons', kind: 'Cron' } },
    } as never);
    await h.clock.advance(10);
    assert.deepEqual(names(), ['v1.', 'v1.apps', 'v1.example.com']);
    await h.client.delete(DEFINITIONS, '', 'crons.example.com');
    await h.clock.advance(10);
    assert.deepEqual(names(), ['v1.', 'v1.apps']);
  });

  it('leave those alone that users registered', () => {
    const theirs: APIService = {
      metadata: { name: 'v1.custom.io' },
      spec: { groupPriorityMinimum: 1, versionPriority: 1 },
    };
    assert.deepEqual(planApiServices([], [], [theirs]), { create: [], remove: [] });
  });

  it('have the priorities that order discovery', () => {
    assert.deepEqual(localApiService({ group: 'autoscaling', version: 'v2' }, false).spec, {
      group: 'autoscaling',
      version: 'v2',
      groupPriorityMinimum: 17_500,
      versionPriority: 30,
    });
    const custom = localApiService({ group: 'apps.example.com', version: 'v1' }, true);
    assert.deepEqual([custom.spec?.groupPriorityMinimum, custom.spec?.versionPriority], [1000, 100]);
    assert.equal(custom.metadata.labels?.[AUTO_MANAGED], 'true');
  });
});

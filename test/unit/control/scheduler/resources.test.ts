import assert from 'node:assert/strict';
import type { PodSpec } from '../../../../src/api/types/core-v1.js';
import { podRequests, quantityValue, Resources } from '../../../../src/control/scheduler/resources.js';

const container = (cpu?: string, memory?: string, more: object = {}) => ({
  name: 'c',
  image: 'i',
  resources: { requests: { ...(cpu ? { cpu } : {}), ...(memory ? { memory } : {}) } },
  ...more,
});
const sidecar = (cpu: string) => container(cpu, undefined, { restartPolicy: 'Always' });
const cpuOf = (spec: object) => podRequests(spec as PodSpec).cpu;

describe('resource arithmetic', () => {
  it('reads quantities exactly and rounds up', () => {
    assert.equal(quantityValue('1Gi'), 2 ** 30);
    assert.equal(quantityValue('1.5k'), 1500);
    assert.equal(quantityValue('100m'), 1);
    assert.equal(quantityValue('2e3'), 2000);
    assert.equal(quantityValue(110), 110);
    assert.equal(quantityValue('nonsense'), 0);
    assert.equal(quantityValue(undefined), 0);
    assert.equal(Resources.of({ cpu: '0.1' }).cpu, 100);
    assert.equal(Resources.of({ cpu: '100u' }).cpu, 1);
    assert.equal(Resources.of({ cpu: '3' }).cpu, 3000);
  });

  it('sums containers', () => {
    const { cpu, memory } = podRequests({ containers: [container('100m', '1Mi'), container('250m', '2Mi')] } as never);
    assert.deepEqual([cpu, memory], [350, 3 * 2 ** 20]);
  });

  it('takes the largest init container when it needs more than the containers together', () => {
    const containers = [container('100m'), container('100m')];
    assert.equal(cpuOf({ containers, initContainers: [container('500m'), container('300m')] }), 500);
    assert.equal(cpuOf({ containers, initContainers: [container('150m')] }), 200);
  });

  it('adds sidecars to the containers, and to the init containers after them only', () => {
    const containers = [container('100m')];
    assert.equal(cpuOf({ containers, initContainers: [sidecar('50m')] }), 150);
    assert.equal(cpuOf({ containers, initContainers: [sidecar('50m'), container('200m')] }), 250);
    assert.equal(cpuOf({ containers, initContainers: [container('200m'), sidecar('50m')] }), 200);
  });

  it('adds the overhead at the end', () => {
    assert.equal(cpuOf({ containers: [container('100m')], overhead: { cpu: '10m' } }), 110);
    assert.equal(
      cpuOf({ containers: [container('100m')], initContainers: [container('1')], overhead: { cpu: '10m' } }),
      1010,
    );
  });

  it('lets requests of the whole pod replace the sum', () => {
    const spec = { containers: [container('100m', '5Mi')], resources: { requests: { cpu: '1' } } };
    const { cpu, memory } = podRequests(spec as never);
    assert.deepEqual([cpu, memory], [1000, 5 * 2 ** 20]);
  });

  it('assumes for scoring what a container does not request, but not where it requests zero', () => {
    const { cpu, scoredCpu, scoredMemory } = podRequests({ containers: [container(), container('0', '0')] } as never);
    assert.deepEqual([cpu, scoredCpu, scoredMemory], [0, 100, 200 * 2 ** 20]);
  });

  it('takes away what it added', () => {
    const sum = Resources.of({ cpu: '1', memory: '1Gi', 'x.io/gpu': '2' });
    sum.add(Resources.of({ cpu: '250m', 'x.io/gpu': '1' })).add(Resources.of({ cpu: '250m', 'x.io/gpu': '1' }), -1);
    assert.deepEqual([sum.cpu, sum.memory, sum.scalars?.get('x.io/gpu')], [1000, 2 ** 30, 2]);
  });
});

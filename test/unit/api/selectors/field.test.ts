import assert from 'node:assert/strict';
import { EVENTS, NODES, PODS } from '../../../../src/api/resource.js';
import { parseFieldSelector } from '../../../../src/api/selectors/field.js';

const pod = {
  metadata: { name: 'p', namespace: 'd' },
  spec: { nodeName: 'n1', restartPolicy: 'Always' },
  status: { phase: 'Running', podIPs: [{ ip: '10.0.0.1' }] },
};

describe('field selectors', () => {
  it('match the fields of the kind', () => {
    assert.ok(parseFieldSelector(PODS, 'spec.nodeName=n1,status.phase!=Failed').matches(pod));
    assert.ok(!parseFieldSelector(PODS, 'spec.nodeName==n2').matches(pod));
    assert.ok(parseFieldSelector(PODS, 'spec.hostNetwork=false').matches(pod));
    assert.ok(parseFieldSelector(NODES, 'spec.unschedulable=false').matches({ metadata: {} }));
    assert.ok(parseFieldSelector(PODS, 'status.phase!=').matches(pod));
    assert.ok(
      parseFieldSelector(EVENTS, 'involvedObject.name=p,source=').matches({
        metadata: {},
        involvedObject: { name: 'p' },
      } as never),
    );
  });

  it('tell which name is demanded, so that a list can be a look-up', () => {
    assert.equal(parseFieldSelector(PODS, 'metadata.name=p').name, 'p');
    assert.equal(parseFieldSelector(PODS, 'metadata.name!=p').name, undefined);
    assert.ok(parseFieldSelector(PODS, '').empty);
  });

  it('refuse fields that upstream does not index', () => {
    assert.throws(() => parseFieldSelector(PODS, 'spec.image=x'), /^ApiError: field label not supported: spec.image$/);
    assert.throws(() => parseFieldSelector(NODES, 'status.phase=x'), /field label not supported: status.phase/);
    assert.throws(() => parseFieldSelector(PODS, 'nonsense'), /can't understand 'nonsense'/);
  });
});

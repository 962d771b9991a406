import assert from 'node:assert/strict';
import { normalizeReference, parseReference, withDefaultTag } from '../../../../src/node/images/reference.js';

describe('image references', () => {
  const full: readonly (readonly [string, string])[] = [
    ['busybox', 'docker.io/library/busybox:latest'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest'],
    ['grafana/grafana', 'docker.io/grafana/grafana:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
    ['registry.k8s.io/pause:3.9', 'registry.k8s.io/pause:3.9'],
    ['127.0.0.1:5000/a/b/c', '127.0.0.1:5000/a/b/c:latest'],
    [`nginx@sha256:${'a'.repeat(64)}`, `docker.io/library/nginx@sha256:${'a'.repeat(64)}`],
    [`nginx:1@sha256:${'a'.repeat(64)}`, `docker.io/library/nginx:1@sha256:${'a'.repeat(64)}`],
  ];
  for (const [written, expected] of full) {
    it(`spells out ${written}`, () => assert.equal(normalizeReference(written), expected));
  }

  for (const wrong of [
    '',
    ':tag',
    'a b',
    'busybox:',
    'busybox:-x',
    'foo//bar',
    'a@sha256:12',
    '-x',
    'x/-y',
    `${'a/'.repeat(130)}a`,
  ]) {
    it(`refuses "${wrong.slice(0, 20)}"`, () => assert.equal(parseReference(wrong).ok, false));
  }

  it('says that names are lower case', () => {
    const parsed = parseReference('Busybox');
    assert.deepEqual(parsed, {
      ok: false,
      reason: 'invalid reference format: repository name (library/Busybox) must be lowercase',
    });
  });

  it('refuses a bare image id', () => assert.equal(parseReference('0'.repeat(64)).ok, false));

  it('adds only a tag to what is handed to the runtime', () => {
    assert.equal(withDefaultTag('busybox'), 'busybox:latest');
    assert.equal(withDefaultTag('localhost:5000/x'), 'localhost:5000/x:latest');
    assert.equal(withDefaultTag('busybox:1'), 'busybox:1');
  });
});

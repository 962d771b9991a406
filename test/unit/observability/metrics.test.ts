import assert from 'node:assert/strict';
import { PrometheusMetrics } from '../../../src/observability/metrics.js';

describe('metrics', () => {
  it('are rendered in the Prometheus text format', async () => {
    const metrics = new PrometheusMetrics();
    const requests = metrics.counter('skein_requests_total', 'Requests, by verb', ['verb']);
    requests.inc({ verb: 'get' });
    requests.inc({ verb: 'get' }, 2);
    requests.inc({ verb: 'list' });
    metrics.gauge('skein_pods', 'Pods').set(7);
    metrics.histogram('skein_wait_seconds', 'Waiting', { buckets: [0.1, 1] }).observe(0.5);
    assert.equal(
      await metrics.render(),
      `# HELP skein_requests_total Requests, by verb
# TYPE skein_requests_total counter
skein_requests_total{verb="get"} 3
skein_requests_total{verb="list"} 1

# HELP skein_pods Pods
# TYPE skein_pods gauge
skein_pods 7

# HELP skein_wait_seconds Waiting
# TYPE skein_wait_seconds histogram
skein_wait_seconds_bucket{le="0.1"} 0
skein_wait_seconds_bucket{le="1"} 1
skein_wait_seconds_bucket{le="+Inf"} 1
skein_wait_seconds_sum 0.5
skein_wait_seconds_count 1
`,
    );
    assert.match(metrics.contentType, /^text\/plain; version=0\.0\.4/);
  });

  it('of one name are one, and of one type', async () => {
    const metrics = new PrometheusMetrics();
    metrics.counter('skein_a_total', 'A').inc();
    metrics.counter('skein_a_total', 'A').inc();
    assert.match(await metrics.render(), /^skein_a_total 2$/m);
    assert.throws(() => metrics.gauge('skein_a_total', 'A'), /another type/);
  });

  it('of two registries are apart, with those of the process on demand', async () => {
    const [one, other] = [new PrometheusMetrics(), new PrometheusMetrics()];
    one.counter('skein_a_total', 'A').inc();
    one.collectProcess();
    assert.match(await one.render(), /^process_resident_memory_bytes /m);
    assert.equal((await other.render()).trim(), '');
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Histogram, Registry } from 'prom-client';
import { RequestTimes } from './requestTimes.ts';

const definition = { name: 'seconds', help: 'Time to the answer.', buckets: [0.01, 0.1, 1] };
const labelNames = ['method', 'route', 'status'] as const;

test('what is scraped is, line for line, what a histogram of prom-client would say', async () => {
  const own = new Registry();
  const times = new RequestTimes({ ...definition, register: own });
  const theirs = new Registry();
  const histogram = new Histogram({
    ...definition,
    labelNames,
    registers: [theirs],
    buckets: [...definition.buckets],
  });
  const read = times.of('GET', '/v1/stock');
  const post = times.of('POST', '/v1/receipts');
  for (const [count, method, route, status, seconds] of [
    [read, 'GET', '/v1/stock', 200, 0.01],
    [read, 'GET', '/v1/stock', 200, 0.010_001],
    [post, 'POST', '/v1/receipts', 201, 5],
    [read, 'GET', '/v1/stock', 404, 0.5],
    [post, 'POST', '/v1/receipts', 201, 0.25],
  ] as const) {
    count(status, seconds);
    histogram.observe({ method, route, status: String(status) }, seconds);
  }
  assert.equal(await own.metrics(), await theirs.metrics());
});

/**
 * CPU of the layer itself per request, over a real Redis: `node bench/idempotency/layer.ts`.
 *
 * `run` is empty, so that all CPU measured belongs to the layer and its Redis client.
 */
import type { Answer, IdempotencyRecord } from '../../idempotency/index.ts';
import { createIdempotency, fingerprint, redisClaims } from '../../idempotency/index.ts';
import { RedisServer } from '../../idempotency/testing/redis-server.ts';

const requests = 64_000;
const concurrency = 64;

const server = await RedisServer.start();
const client = await server.client();
const claims = redisClaims(client);
const body = {
  warehouse: 'W1',
  lines: [{ product: 'SKU-1', quantity: 5 }],
  reference: 'PO-1',
  note: 'n',
};
const print = fingerprint({ method: 'POST', path: '/v1/receipts', body });
const answer: Answer = {
  status: 201,
  headers: { 'content-type': 'application/json; charset=utf-8', location: '/v1/postings/1' },
  body: Buffer.alloc(300, 97),
};
const record: IdempotencyRecord = { fingerprint: print, answer };

async function measure(name: string, count: number, step: (i: number) => Promise<unknown>) {
  const cpu = process.cpuUsage();
  const began = performance.now();
  for (let i = 0; i < count; i += concurrency) {
    await Promise.all(Array.from({ length: concurrency }, (_, j) => step(i + j)));
  }
  const used = process.cpuUsage(cpu);
  const wall = (performance.now() - began) / 1000;
  const micros = (used.user + used.system) / count;
  console.log(`${name}: ${micros.toFixed(1)} µs CPU, ${Math.round(count / wall)} /s`);
}

const make = () => createIdempotency({ claims });
let layer = make();
const run = async () => ({ record, replayed: false });
const execute = (i: number) =>
  layer.execute({ scope: 't1', key: `0199a1b2-c3d4-7e5f-8a9b-${i}`, fingerprint: print }, run);
for (const round of ['warm-up', 'measured']) {
  await client.flushAll();
  layer = make();
  await measure(`${round}: first requests`, requests, execute);
  await measure(`${round}: replays from this process`, requests, (i) =>
    execute(requests - 6_400 + (i % 6_400)),
  );
  layer = make();
  await measure(`${round}: replays from Redis`, requests, execute);
  await measure(`${round}: fingerprints`, requests, async () =>
    fingerprint({ method: 'POST', path: '/v1/receipts', body }),
  );
}
const memory = await client.sendCommand([
  'MEMORY',
  'USAGE',
  'idempotency:{t1}:0199a1b2-c3d4-7e5f-8a9b-1',
]);
console.log(`Redis memory per answer of ${answer.body.length} bytes: ${memory} bytes`);
await claims.close();
client.destroy();
await server.stop();

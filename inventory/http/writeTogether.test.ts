import assert from 'node:assert/strict';
import { test } from 'node:test';
import Fastify from 'fastify';
import { writeTogether } from './writeTogether.ts';

test('answers that are ready in one turn are written together, with nothing in between', async (t) => {
  const app = Fastify();
  t.after(() => app.close());
  const names = ['a', 'b', 'c'];
  const order: string[] = [];
  writeTogether(app);
  const gate = Promise.withResolvers<void>();
  app.get('/:name', async (request, reply) => {
    const { name } = request.params as { name: string };
    const end = reply.raw.end.bind(reply.raw);
    reply.raw.end = ((...args: []) => {
      order.push(`${name} written`);
      return end(...args);
    }) as typeof reply.raw.end;
    await gate.promise;
    // Each is ready some promises later than the one before, yet in the same turn.
    for (let hop = 0; hop < 50 * names.indexOf(name); hop++) await null;
    order.push(`${name} answered`);
    return { name };
  });
  const replies = Promise.all(names.map((name) => app.inject(`/${name}`)));
  setImmediate(() => setImmediate(gate.resolve));
  assert.deepEqual(
    (await replies).map((reply) => reply.json()),
    [{ name: 'a' }, { name: 'b' }, { name: 'c' }],
  );
  assert.deepEqual(order, [
    ...names.map((name) => `${name} answered`),
    ...names.map((name) => `${name} written`),
  ]);
});

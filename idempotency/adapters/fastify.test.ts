import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fastify } from 'fastify';
import { fastifyIdempotency } from './fastify.ts';

const settings = { singleTenant: true };

test('the plugin names the routes it protects, whatever the order and encapsulation', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  let named: readonly string[] = [];
  app.post('/before', async () => 1);
  app.register(async (outside) => {
    outside.post('/sibling-before', async () => 1);
  });
  app.register(fastifyIdempotency, { ...settings, onProtected: (routes) => (named = routes) });
  app.post('/after', async () => 1);
  app.get('/after', async () => 1);
  app.register(
    async (inside) => {
      inside.route({ method: ['POST', 'PATCH'], url: '/:id', handler: async () => 1 });
      inside.post('/:id/lines', async () => 1);
    },
    { prefix: '/inside' },
  );
  await app.ready();
  assert.deepEqual([...named].sort(), [
    'PATCH /inside/:id',
    'POST /after',
    'POST /before',
    'POST /inside/:id',
    'POST /inside/:id/lines',
    'POST /sibling-before',
  ]);
  for (const url of ['/before', '/sibling-before', '/after', '/inside/1', '/inside/1/lines']) {
    assert.equal((await app.inject({ method: 'POST', url })).statusCode, 400, url);
  }
});

test('routes of every form are named as they were declared', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  let named: readonly string[] = [];
  app.register(fastifyIdempotency, { ...settings, onProtected: (routes) => (named = routes) });
  const urls = ['/', '/a', '/ab/*', '/with space/x', '/:id(^\\d+$)/x', '/pair/:a-:b', '/opt/:x?'];
  app.register(async (inside) => {
    for (const url of urls) inside.post(url, async () => 1);
    for (const version of ['1.2.0', '2.0.0']) {
      const constraints = { version };
      inside.route({ method: 'POST', url: '/ab', constraints, handler: async () => 1 });
    }
    inside.get('/abc', async () => 1);
  });
  await app.ready();
  const expected = [...urls.slice(0, -1), '/opt', '/opt/:x'].map((url) => `POST ${url}`);
  for (const version of ['1.2.0', '2.0.0']) expected.push(`POST /ab {"version":"${version}"}`);
  assert.deepEqual([...named].sort(), expected.sort());
});

test('routes that opted out are not named, and alone stop the start', async (t) => {
  const free = { config: { idempotency: false } };
  for (const others of [true, false]) {
    const app = fastify();
    t.after(() => app.close());
    let named: readonly string[] = [];
    app.register(fastifyIdempotency, { ...settings, onProtected: (routes) => (named = routes) });
    app.register(async (inside) => {
      inside.post('/free/:part?', free, async () => 1);
      inside.patch('/free', { ...free, onRequestAbort: async (_) => {} }, async () => 1);
      if (others) inside.post('/protected', async () => 1);
    });
    if (others) await app.ready();
    else await assert.rejects(async () => app.ready(), /protects no route/);
    assert.deepEqual(named, others ? ['POST /protected'] : []);
  }
});

test('a plugin that would protect nothing stops the start', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  app.register(async (inner) => {
    inner.register(fastifyIdempotency, settings);
  });
  app.post('/things', async () => 1);
  await assert.rejects(async () => app.ready(), /protects no route/);
});

test('neither scope nor singleTenant stops the start', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  app.register(fastifyIdempotency, {});
  app.post('/things', async () => 1);
  await assert.rejects(async () => app.ready(), /needs `scope`/);
});

test('a route can opt out, and a request that validation refuses claims nothing', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  app.register(fastifyIdempotency, { ...settings, onProtected: () => {} });
  app.post('/free', { config: { idempotency: false } }, async () => 1);
  const schema = { body: { type: 'object', required: ['a'] } };
  app.post('/checked', { schema }, async () => ({ done: true }));
  assert.equal((await app.inject({ method: 'POST', url: '/free' })).statusCode, 200);
  const send = (body: object) =>
    app.inject({ method: 'POST', url: '/checked', headers: { 'idempotency-key': 'k' }, body });
  assert.equal((await send({})).statusCode, 400);
  assert.equal((await send({ a: 1 })).statusCode, 200);
});

test('a reply written past Fastify is recorded as well', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  let runs = 0;
  app.register(fastifyIdempotency, { ...settings, onProtected: () => {} });
  app.post('/raw', (_, reply) => {
    reply.hijack();
    reply.raw.writeHead(202, { 'content-type': 'text/plain' });
    reply.raw.end(`run ${++runs}`);
  });
  const send = () =>
    app.inject({ method: 'POST', url: '/raw', headers: { 'idempotency-key': 'k' } });
  const [first, second] = [await send(), await send()];
  assert.deepEqual([first.statusCode, first.body], [202, 'run 1']);
  assert.deepEqual([second.statusCode, second.body], [202, 'run 1']);
  assert.equal(second.headers['idempotent-replayed'], 'true');
});

test('a repeat is what was recorded, whatever the hooks of the app make of a reply', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  let responses = 0;
  app.register(fastifyIdempotency, { ...settings, onProtected: () => {} });
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'x-request': request.id, etag: '"default"' });
    reply.raw.setHeader('x-raw', request.id);
  });
  app.addHook('onSend', async (_request, reply, payload) => {
    reply.header('content-type', 'application/json');
    return payload && `{"data":${payload}}`;
  });
  app.addHook('onResponse', async () => void responses++);
  app.post('/sent', async (_, reply) => reply.removeHeader('etag').code(201).send({ id: 7 }));
  const send = () =>
    app.inject({ method: 'POST', url: '/sent', headers: { 'idempotency-key': 'k' } });
  const [first, second] = [await send(), await send()];
  assert.deepEqual([first.statusCode, first.body], [201, '{"data":{"id":7}}']);
  assert.deepEqual([second.statusCode, second.body], [201, first.body]);
  assert.equal(second.headers['idempotent-replayed'], 'true');
  assert.equal(second.headers['content-type'], first.headers['content-type']);
  assert.equal(second.headers.etag, undefined);
  // What the hooks of this very request set is its own.
  assert.deepEqual([second.headers['x-request'], second.headers['x-raw']], ['req-2', 'req-2']);
  assert.equal(responses, 2);
});

test('a repeat has no content type that the first answer had not', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  app.register(fastifyIdempotency, { ...settings, onProtected: () => {} });
  app.post('/empty', async (_, reply) => reply.code(201).header('location', '/x/1').send());
  app.post('/raw', (_, reply) => {
    reply.hijack();
    reply.raw.end('raw');
  });
  for (const url of ['/empty', '/raw']) {
    const send = () => app.inject({ method: 'POST', url, headers: { 'idempotency-key': url } });
    const [first, second] = [await send(), await send()];
    for (const name of ['content-type', 'location']) {
      assert.equal(second.headers[name], first.headers[name], `${url} ${name}`);
    }
    assert.equal(first.headers['content-type'], undefined);
    assert.equal(second.body, first.body);
  }
});

test('an answer that cannot be written fails its request, not the process', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  app.register(fastifyIdempotency, { ...settings, onProtected: () => {} });
  // As libraries do that add a header at the last moment.
  app.addHook('onRequest', async (_, { raw }) => {
    const { writeHead } = raw;
    raw.writeHead = () => {
      raw.writeHead = writeHead;
      throw new Error('on purpose');
    };
  });
  app.post('/things', async () => ({ done: true }));
  const headers = { 'idempotency-key': 'k' };
  // The first answer and its repeat.
  for (let i = 0; i < 2; i++) {
    const sent = await app.inject({ method: 'POST', url: '/things', headers });
    assert.equal(sent.statusCode, 500);
  }
});

test('a stream that cannot be read fails its request alone, also while the scope is looked up', async (t) => {
  const app = fastify();
  t.after(() => app.close());
  const unhandled: unknown[] = [];
  const listen = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', listen);
  t.after(() => process.off('unhandledRejection', listen));
  app.addContentTypeParser('application/octet-stream', (_request, payload, done) =>
    done(null, payload),
  );
  let read = 0;
  const scope = async ({ headers }: { headers: object }) => {
    await setImmediate();
    if ('x-stranger' in headers) throw new Error('nobody');
    return 'somebody';
  };
  app.register(fastifyIdempotency, { scope, bodyBytesMax: 4, onProtected: () => {} });
  app.post('/', async () => (read += 1));
  const post = (headers: object) =>
    app.inject({
      method: 'POST',
      url: '/',
      headers: { 'content-type': 'application/octet-stream', 'idempotency-key': 'k', ...headers },
      payload: Readable.from([Buffer.alloc(3), Buffer.alloc(3)]),
    });
  assert.equal((await post({})).statusCode, 413);
  assert.equal((await post({ 'x-stranger': '1' })).statusCode, 500);
  await setImmediate();
  assert.deepEqual(unhandled, []);
  assert.equal(read, 0);
});

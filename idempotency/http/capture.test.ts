import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import express from 'express';
import { expressIdempotency } from '../adapters/express.ts';
import { type NodeHandler, nodeIdempotency } from '../adapters/node-http.ts';
import { ModelApp } from '../testing/model-app.ts';
import { expressServer, fastifyServer, nestOnExpress, nodeServer } from '../testing/servers.ts';

const servers = { nodeServer, expressServer, fastifyServer, nestOnExpress };
for (const [name, start] of Object.entries(servers)) {
  test(`a handler that never answers frees its key once abandoned: ${name}`, async (t) => {
    const app = new ModelApp();
    const server = await start(app, { abandonedMs: 20 });
    t.after(() => server.close());
    const held = new Promise<void>((resolve) => {
      app.onHeld = resolve;
    });
    const headers = { 'idempotency-key': 'k', 'content-type': 'application/json' };
    const gone = request(`${server.url}/silent`, { method: 'POST', headers });
    gone.on('error', () => {});
    gone.end('{}');
    await held;
    gone.destroy();
    const again = await fetch(`${server.url}/silent`, { method: 'POST', headers, body: '{}' });
    assert.deepEqual([again.status, await again.json()], [201, { run: 2 }]);
  });
}

for (const [name, start] of Object.entries({ nodeServer, expressServer, fastifyServer })) {
  test(`neither the first answer nor the repeat of a 204 has a length: ${name}`, async (t) => {
    const server = await start(new ModelApp(), {});
    t.after(() => server.close());
    for (let i = 0; i < 2; i++) {
      const sent = await post(`${server.url}/no-content`);
      assert.equal(sent.status, 204);
      assert.equal(sent.headers.get('content-length'), null, i === 0 ? 'first' : 'repeat');
      assert.equal(sent.headers.get('location'), '/things/1');
    }
  });
}

test('a client that hung up before its handler began frees the key as well', async (t) => {
  const scoped = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  let runs = 0;
  const idempotency = nodeIdempotency({
    abandonedMs: 20,
    scope: async (req) => {
      if (!('x-gone' in req.headers)) return '';
      req.socket.once('close', () => setImmediate(gone.resolve));
      scoped.resolve();
      await gone.promise;
      return '';
    },
  });
  t.after(() => idempotency.close());
  const url = await listen(
    t,
    idempotency.protect(async (_, res) => {
      if (++runs === 1) await new Promise(() => {});
      res.end('done');
    }),
  );
  const headers = { 'idempotency-key': 'k', 'x-gone': '1' };
  const first = request(url, { method: 'POST', headers });
  first.on('error', () => {});
  first.end();
  await scoped.promise;
  first.destroy();
  await gone.promise;
  assert.deepEqual([(await post(url)).text, runs], ['done', 2]);
});

for (const written of ['at once', 'in parts']) {
  test(`what hooks writeHead has its turn in an answer written ${written}: Express`, async (t) => {
    const url = await behindExpress(t, {}, (web) => {
      // As on-headers does, for sessions in cookies and response times.
      web.use((_req, res, next) => {
        const { writeHead } = res;
        res.writeHead = (...args: unknown[]) => {
          res.setHeader('set-cookie', 'sid=1');
          return writeHead.apply(res, args as never);
        };
        next();
      });
      web.post('/', (_, res) => {
        res.status(201);
        if (written === 'in parts') res.write('a');
        res.end('b');
      });
    });
    const first = await post(url);
    assert.equal(first.headers.get('set-cookie'), 'sid=1');
    assert.deepEqual([first.status, first.text], [201, written === 'in parts' ? 'ab' : 'b']);
    assert.equal((await post(url)).text, first.text);
  });
}

test('headers that are named more than once are all sent', async (t) => {
  const all = ['Set-Cookie', 'a=1', 'X-One', '1', 'set-cookie', 'b=2', 'Vary', ['a', 'b']];
  const pairs = [
    ['Set-Cookie', 'a=1'],
    ['set-cookie', 'b=2'],
  ];
  for (const headers of [all, pairs]) {
    const url = await serve(t, {}, (_, res) => {
      res.setHeader('set-cookie', 'replaced=1');
      res.writeHead(201, headers as never).end('x');
    });
    const sent = await post(url);
    assert.deepEqual(sent.headers.getSetCookie(), ['a=1', 'b=2']);
    assert.equal(sent.headers.get('vary'), headers === all ? 'a, b' : null);
  }
});

test('a length that is not that of the whole body is not sent', async (t) => {
  for (const length of [1, 100]) {
    const url = await serve(t, {}, (_, res) => {
      res.writeHead(201, { 'content-length': length }).end('whole');
    });
    assert.equal((await post(url)).text, 'whole');
  }
});

test('a 304 may tell the length of what it stands for', async (t) => {
  const url = await serve(t, {}, (_, res) => {
    res.writeHead(304, { 'content-length': 100 }).end();
  });
  assert.equal((await post(url)).headers.get('content-length'), '100');
});

test('an error handler that answers in place of what was begun is the answer: Express', async (t) => {
  const begun: ((res: express.Response) => unknown)[] = [
    (res) => res.type('csv').writeHead(200, { 'content-length': 5, 'x-begun': '1' }),
    (res) => res.type('csv').write('id,amount'),
  ];
  // Each is told from a part of what was begun by one thing alone: status, a header, one less.
  const answers: ((res: express.Response) => unknown)[] = [
    (res) => res.status(500).end('failed'),
    (res) => res.type('txt').end('failed'),
    (res) => res.removeHeader('content-type') ?? res.end('failed'),
  ];
  for (const begin of begun) {
    for (const answer of answers) {
      const url = await behindExpress(t, {}, (web) => {
        web.post('/', (_, res) => {
          begin(res);
          throw new Error('on purpose');
        });
        const failed: express.ErrorRequestHandler = (_error, _req, res, _next) => {
          answer(res);
        };
        web.use(failed);
      });
      const { text, headers } = await post(url);
      assert.deepEqual([text, headers.get('x-begun')], ['failed', null]);
    }
  }
});

test('a handler may wait for each part to be written', async (t) => {
  const url = await serve(t, {}, async (_, res) => {
    for (const part of ['a', 'b']) await new Promise((resolve) => res.write(part, resolve));
    res.end('c');
  });
  const [first, second] = [await post(url), await post(url)];
  assert.deepEqual([first.text, second.text], ['abc', 'abc']);
  assert.equal(second.headers.get('idempotent-replayed'), 'true');
});

test('a handler that fails after its answer is answered as it said', async (t) => {
  const url = await serve(t, {}, async (_, res) => {
    res.writeHead(201, { 'content-type': 'text/plain' });
    res.end('done');
    throw new Error('on purpose');
  });
  const [first, second] = [await post(url), await post(url)];
  assert.deepEqual([first.status, first.text], [201, 'done']);
  assert.deepEqual([second.status, second.text], [201, 'done']);
});

test('an error handler that answers once more changes nothing: Express', async (t) => {
  const idempotency = expressIdempotency({ singleTenant: true });
  t.after(() => idempotency.close());
  const web = express();
  web.use(idempotency);
  web.post('/', (_, res) => {
    res.status(201).location('/things/1').send('done');
    throw new Error('on purpose');
  });
  const answerAgain: express.ErrorRequestHandler = (_error, _req, res, _next) => {
    res.status(500).removeHeader('location');
    res.json({ code: 'internal', longer: 'than the answer' });
  };
  web.use(answerAgain);
  const url = await listen(t, web);
  for (let i = 0; i < 2; i++) {
    const { status, text, headers } = await post(url);
    assert.deepEqual([status, text, headers.get('location')], [201, 'done', '/things/1']);
    assert.match(headers.get('content-type') ?? '', /^text\/html/);
  }
});

test('a handler that fails within an answer too large to keep cuts it', async (t) => {
  const url = await serve(t, { answerBytesMax: 10 }, async (_, res) => {
    res.write('more than can be kept');
    throw new Error('on purpose');
  });
  // Depending on how much of it arrived before the end.
  await assert.rejects(post(url), /fetch failed|terminated/);
});

test('what Node would refuse fails the handler, not the replays', async (t) => {
  const mistakes: NodeHandler[] = [
    (_, res) => void res.writeHead(201, { location: '/\u2603' }).end(),
    (_, res) => {
      res.statusCode = 42;
      res.end();
    },
  ];
  for (const mistake of mistakes) {
    let runs = 0;
    const url = await serve(t, {}, (req, res, context) => {
      if (++runs === 1) return mistake(req, res, context);
      res.statusCode = 201;
      res.end();
    });
    assert.deepEqual([(await post(url)).status, (await post(url)).status], [500, 201]);
  }
});

test('an answer that outgrows the limit passes through what wraps the response: Express', async (t) => {
  const url = await behindExpress(t, { answerBytesMax: 1_000 }, (web) => {
    // As compression does: keeps what it wraps, and writes later.
    web.use((_req, res, next) => {
      const { write, end } = res;
      const parts: string[] = [];
      res.write = (part: string) => parts.push(part) > 0;
      res.end = (part: unknown) => {
        parts.push(String(part));
        const { length } = parts;
        const writeNext = () => {
          if (parts.length === 0) return end.call(res, `end of ${length}`, 'utf8');
          write.call(res, parts.shift()?.toUpperCase(), 'utf8');
          return setImmediate(writeNext);
        };
        setImmediate(writeNext);
        return res;
      };
      next();
    });
    web.post('/', (_, res) => {
      for (const part of ['a', 'b', 'c']) res.write(part.repeat(900));
      res.end('d');
    });
  });
  const first = await post(url);
  const parts = ['A', 'B', 'C'].map((part) => part.repeat(900));
  assert.deepEqual([first.status, first.text], [200, `${parts.join('')}Dend of 4`]);
  assert.match((await post(url)).text, /answer-not-kept/);
});

test('what wraps the response stays on it when an answer outgrows the limit: Express', async (t) => {
  const url = await behindExpress(t, { answerBytesMax: 1_000 }, (web) => {
    web.use((_req, res, next) => {
      const { write, end } = res;
      res.write = (part: string) => write.call(res, part.toUpperCase(), 'utf8');
      res.end = (part: unknown) => end.call(res, String(part).toUpperCase(), 'utf8');
      next();
    });
    web.post('/', (_, res) => {
      for (const part of ['a', 'b', 'c']) res.write(part.repeat(900));
      res.end('d');
    });
  });
  const { text } = await post(url);
  assert.equal(text, `${['A', 'B', 'C'].map((part) => part.repeat(900)).join('')}D`);
});

test('what a failed handler still writes is no part of the answer to its failure', async (t) => {
  const written = Promise.withResolvers<unknown>();
  const url = await serve(t, { answerBytesMax: 3 }, async (_, res) => {
    const { write } = res;
    setImmediate(() => written.resolve(write.call(res, 'late', 'utf8')));
    throw new Error('on purpose');
  });
  const { status, text } = await post(url);
  assert.deepEqual([status, JSON.parse(text).title], [500, 'Internal Server Error']);
  await written.promise;
});

async function serve(
  t: TestContext,
  options: { answerBytesMax?: number },
  handler: NodeHandler,
): Promise<string> {
  const idempotency = nodeIdempotency({ singleTenant: true, ...options });
  t.after(() => idempotency.close());
  return listen(t, idempotency.protect(handler));
}

/** Express with the layer, and behind it what `declare` adds. */
async function behindExpress(
  t: TestContext,
  options: { answerBytesMax?: number },
  declare: (web: express.Express) => void,
): Promise<string> {
  const idempotency = expressIdempotency({ singleTenant: true, ...options });
  t.after(() => idempotency.close());
  const web = express();
  web.use(idempotency);
  declare(web);
  return listen(t, web);
}

async function listen(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

async function post(url: string, body?: string) {
  const headers = { 'idempotency-key': 'k' };
  const sent = await fetch(url, {
    method: 'POST',
    headers,
    ...(body !== undefined && { body }),
    signal: AbortSignal.timeout(3_000),
  });
  return { status: sent.status, headers: sent.headers, text: await sent.text() };
}

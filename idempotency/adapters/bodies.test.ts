import 'reflect-metadata';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { Controller, Module, Post, UseInterceptors } from '@nestjs/common';
import { APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { ExpressAdapter, FileInterceptor } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import express, {
  type Response as ExpressResponse,
  type NextFunction,
  type Request,
} from 'express';
import { type FastifyContentTypeParser, fastify } from 'fastify';
import { Hono, type MiddlewareHandler } from 'hono';
import type { ProtectionOptions } from '../http/options.ts';
import { expressIdempotency } from './express.ts';
import { fastifyIdempotency } from './fastify.ts';
import { honoIdempotency } from './hono.ts';
import { IdempotencyInterceptor } from './nest.ts';
import { nodeIdempotency } from './node-http.ts';

type Options = Pick<ProtectionOptions<never>, 'required' | 'bodyBytesMax'>;
interface Sent {
  status: number;
  code: string | undefined;
  replayed: boolean;
}
interface App {
  runs: number;
  send(init: { key?: string; type: string; body: string }): Promise<Sent>;
}

const url = 'http://localhost/things';
const singleTenant = true;

/** An app that counts the runs of its one handler. */
function appOf(fetchIt: (init: RequestInit, to?: string) => Promise<Response>): App {
  return {
    runs: 0,
    async send({ key, type, body }) {
      const headers = { 'content-type': type, ...(key && { 'idempotency-key': key }) };
      const signal = AbortSignal.timeout(10_000);
      const sent = await fetchIt({ method: 'POST', headers, body, signal });
      const text = await sent.text();
      const code = sent.status >= 400 ? JSON.parse(text).code : undefined;
      const replayed = sent.headers.get('idempotent-replayed') === 'true';
      return { status: sent.status, code, replayed };
    },
  };
}

async function listen(t: TestContext, listener: RequestListener): Promise<App> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return appOf((init) => fetch(`http://127.0.0.1:${port}/things`, init));
}

async function nodeApp(t: TestContext, options: Options = {}): Promise<App> {
  const idempotency = nodeIdempotency({ ...options, singleTenant });
  t.after(() => idempotency.close());
  const app = await listen(
    t,
    idempotency.protect((_req, res) => void res.end(String(++app.runs))),
  );
  return app;
}

type ExpressHandler = (req: Request, res: ExpressResponse, next: NextFunction) => unknown;

/** @param before stands in front of the layer */
function expressApp(...before: ExpressHandler[]) {
  return async (t: TestContext, options: Options = {}): Promise<App> => {
    const idempotency = expressIdempotency({ ...options, singleTenant });
    t.after(() => idempotency.close());
    const web = express();
    web.post('/things', express.json(), ...before, idempotency, (_, res) => {
      res.end(String(++app.runs));
    });
    const app = await listen(t, web);
    return app;
  };
}

function fastifyApp(parser: FastifyContentTypeParser) {
  return async (t: TestContext, options: Options = {}): Promise<App> => {
    const web = fastify();
    t.after(() => web.close());
    web.addContentTypeParser(/^(?!application\/json)/, parser);
    web.register(fastifyIdempotency, { ...options, singleTenant, onProtected: () => {} });
    web.post('/things', async () => String(++app.runs));
    const base = await web.listen({ port: 0, host: '127.0.0.1' });
    const app = appOf((init) => fetch(`${base}/things`, init));
    return app;
  };
}

function honoApp(...before: MiddlewareHandler[]) {
  return async (t: TestContext, options: Options = {}): Promise<App> => {
    const idempotency = honoIdempotency({ ...options, singleTenant });
    t.after(() => idempotency.close());
    const web = new Hono();
    web.use(...before, idempotency);
    web.post('/things', (c) => c.text(String(++app.runs)));
    const app = appOf(async (init) => web.request(url, init));
    return app;
  };
}

interface NestSettings {
  adapter: () => ExpressAdapter | FastifyAdapter;
  /** Puts multer in front of the layer. */
  upload?: boolean;
}

function nestApp({ adapter, upload = false }: NestSettings) {
  return async (t: TestContext, options: Options = {}): Promise<App> => {
    const idempotency = new IdempotencyInterceptor({ ...options, singleTenant });
    class Things {
      post(): string {
        return String(++app.runs);
      }
    }
    // What the decorators do, which type stripping has no syntax for.
    const method = Object.getOwnPropertyDescriptor(Things.prototype, 'post') as PropertyDescriptor;
    Post('things')(Things.prototype, 'post', method);
    if (upload) UseInterceptors(FileInterceptor('file'))(Things.prototype, 'post', method);
    if (upload) UseInterceptors(idempotency)(Things.prototype, 'post', method);
    Controller()(Things);
    class Root {}
    const providers = upload ? [] : [{ provide: APP_INTERCEPTOR, useValue: idempotency }];
    Module({ controllers: [Things], providers })(Root);
    const nest = await NestFactory.create(Root, adapter() as never, { logger: false });
    t.after(() => nest.close());
    await nest.listen(0, '127.0.0.1');
    const base = await nest.getUrl();
    const app = appOf((init) => fetch(`${base}/things`, init));
    return app;
  };
}

const nestOnFastify = (parser: FastifyContentTypeParser) => () => {
  const adapter = new FastifyAdapter({ forceCloseConnections: true });
  adapter.getInstance().addContentTypeParser(/^multipart|^application\/octet/, parser as never);
  return adapter;
};

/** Takes a form to pieces and leaves its fields in the body, as multer does. */
async function takeToPieces(req: IncomingMessage & { body?: unknown }): Promise<object> {
  const bytes = new Uint8Array(Buffer.concat(await req.toArray()));
  const headers = { 'content-type': req.headers['content-type'] ?? '' };
  const fields: Record<string, unknown> = {};
  for (const [name, value] of await new Response(bytes, { headers }).formData()) {
    if (typeof value === 'string') fields[name] = value;
  }
  return fields;
}

const piecesInExpress: ExpressHandler = async (req, _res, next) => {
  req.body = await takeToPieces(req);
  next();
};
const piecesInFastify: FastifyContentTypeParser = (_request, payload, done) =>
  void takeToPieces(payload).then((fields) => done(null, fields), done);
/** As @fastify/multipart does: the handler reads `request.raw`. */
const leave: FastifyContentTypeParser = (_request, _payload, done) => done(null);
const handOn: FastifyContentTypeParser = (_request, payload, done) => done(null, payload);

function form(content: string) {
  const head = 'content-disposition: form-data; name=';
  const parts = [`${head}"title"\r\n\r\nsame`, `${head}"file"; filename="a.txt"\r\n\r\n${content}`];
  const body = `${parts.map((part) => `--b\r\n${part}\r\n`).join('')}--b--\r\n`;
  return { type: 'multipart/form-data; boundary=b', body };
}
const octets = (body: string) => ({ type: 'application/octet-stream', body });

type Start = (t: TestContext, options?: Options) => Promise<App>;

const counted: [string, Start, (typeof form | typeof octets)[]][] = [
  ['node:http', nodeApp, [form, octets]],
  ['Express without a parser', expressApp(), [form, octets]],
  [
    'Express, with middleware that puts {} for what nobody parsed',
    expressApp((req, _res, next) => {
      req.body ??= {};
      next();
    }),
    [form, octets],
  ],
  ['Fastify, with a stream that is handed on', fastifyApp(handOn), [form, octets]],
  ['Hono', honoApp(), [form, octets]],
  [
    'Hono, behind middleware that read the bytes',
    honoApp(async (c, next) => {
      await c.req.parseBody();
      await next();
    }),
    [form],
  ],
  ['NestJS on Express', nestApp({ adapter: () => new ExpressAdapter() }), [form, octets]],
  ['NestJS on Fastify, handed on', nestApp({ adapter: nestOnFastify(handOn) }), [form, octets]],
];

const unseen: [string, Start, (typeof form | typeof octets)[]][] = [
  ['Express, behind a parser of forms', expressApp(piecesInExpress), [form]],
  [
    'Express, behind middleware that read the body',
    expressApp(async (req, _res, next) => {
      await req.toArray();
      next();
    }),
    [form, octets],
  ],
  ['Fastify, with the body left to the handler', fastifyApp(leave), [form, octets]],
  ['Fastify, with a parser of forms', fastifyApp(piecesInFastify), [form]],
  [
    'Hono, behind a parser of forms',
    honoApp(async (c, next) => {
      await c.req.formData();
      await next();
    }),
    [form],
  ],
  [
    'Hono, behind middleware that read past it',
    honoApp(async (c, next) => {
      await c.req.raw.arrayBuffer();
      await next();
    }),
    [form, octets],
  ],
  [
    'NestJS on Express, behind multer',
    nestApp({ adapter: () => new ExpressAdapter(), upload: true }),
    [form],
  ],
  [
    'NestJS on Fastify, with the body left to the handler',
    nestApp({ adapter: nestOnFastify(leave) }),
    [form, octets],
  ],
];

describe('bodies that are not JSON', () => {
  for (const [name, start, bodies] of counted) {
    for (const bodyOf of bodies) {
      test(`${name}: two ${bodyOf.name} bodies are two requests`, async (t) => {
        const app = await start(t);
        const results: unknown[] = [];
        for (const content of ['one', 'one', 'two']) {
          const { status, code, replayed } = await app.send({ key: 'k', ...bodyOf(content) });
          results.push(code ?? [status < 300, replayed]);
        }
        assert.deepEqual(results, [[true, false], [true, true], 'idempotency-key-reused']);
        assert.equal(app.runs, 1);
      });
    }
  }

  for (const [name, start] of counted) {
    test(`${name}: a form beyond the limit is refused before the handler`, async (t) => {
      const app = await start(t, { bodyBytesMax: 1_000 });
      const { status, code } = await app.send({ key: 'k', ...form('x'.repeat(1_000)) });
      assert.deepEqual([status, code, app.runs], [413, 'payload-too-large', 0]);
    });
  }

  for (const [name, start, bodies] of unseen) {
    for (const bodyOf of bodies) {
      test(`${name}: ${bodyOf.name} bodies are refused before the handler`, async (t) => {
        const app = await start(t, { required: false });
        for (const content of ['one', 'two']) {
          const { status, code } = await app.send({ key: 'k', ...bodyOf(content) });
          assert.deepEqual([status, code], [415, 'body-unseen']);
        }
        assert.equal(app.runs, 0);
        // Nothing is protected without a key, so nothing has to be compared.
        assert.ok((await app.send(bodyOf('one'))).status < 300);
        assert.equal(app.runs, 1);
      });
    }
  }

  test('without a key a body stays for what reads it behind the layer', async (t) => {
    const idempotency = expressIdempotency({ required: false, singleTenant });
    t.after(() => idempotency.close());
    const nothing: ExpressHandler = (req, _res, next) => {
      req.body ??= {};
      next();
    };
    for (const before of [[], [nothing]]) {
      const web = express();
      web.post('/things', ...before, idempotency, piecesInExpress, (req, res) => {
        res.end((req.body as { title: string }).title);
      });
      const app = await listen(t, web);
      assert.equal((await app.send(form('one'))).status, 200);
    }
  });

  test('a body that is there but empty is none', async (t) => {
    const web = fastify();
    t.after(() => web.close());
    web.addContentTypeParser('text/plain', { parseAs: 'string' }, (_request, body, done) =>
      done(null, body === '' ? undefined : body),
    );
    web.register(fastifyIdempotency, { singleTenant, onProtected: () => {} });
    web.post('/things', async () => 'done');
    const base = await web.listen({ port: 0, host: '127.0.0.1' });
    const sent = await fetch(`${base}/things`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', 'idempotency-key': 'k' },
      body: new ReadableStream({ start: (controller) => controller.close() }),
      duplex: 'half',
    } as RequestInit);
    assert.deepEqual([sent.status, await sent.text()], [200, 'done']);
  });

  test('HTTP/2 needs no length: a body that was left to the handler is refused all the same', async (t) => {
    const web = fastify({ http2: true });
    t.after(() => web.close());
    web.addContentTypeParser('*', (_request, _payload, done) => done(null));
    web.register(fastifyIdempotency, { singleTenant, onProtected: () => {} });
    web.post('/things', async () => 'done');
    const session = connect(await web.listen({ port: 0, host: '127.0.0.1' }));
    t.after(() => session.destroy());
    const send = async (type: string, body?: string) => {
      const head = { ':method': 'POST', ':path': '/things', 'idempotency-key': type };
      const stream = session.request({ ...head, 'content-type': type }, { endStream: !body });
      if (body) stream.end(body);
      const [headers] = await once(stream, 'response');
      await stream.toArray();
      return headers[':status'];
    };
    assert.equal(await send('application/octet-stream', 'one'), 415);
    assert.equal(await send('text/none'), 200);
  });
});

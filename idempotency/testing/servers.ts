import 'reflect-metadata';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { serve } from '@hono/node-server';
import { Controller, Module, Post, Req, Res, StreamableFile } from '@nestjs/common';
import { APP_INTERCEPTOR, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import express from 'express';
import { fastify } from 'fastify';
import { Hono } from 'hono';
import { expressIdempotency } from '../adapters/express.ts';
import { fastifyIdempotency } from '../adapters/fastify.ts';
import { honoIdempotency } from '../adapters/hono.ts';
import { IdempotencyInterceptor } from '../adapters/nest.ts';
import { nodeIdempotency } from '../adapters/node-http.ts';
import { isJson } from '../http/body.ts';
import type { ModelReply, StartServer } from './model-app.ts';

const scopeOf = (req: { headers: IncomingMessage['headers'] }) => req.headers.authorization ?? '';

export const nodeServer: StartServer = async (app, options) => {
  const idempotency = nodeIdempotency({ ...options, scope: scopeOf });
  const server = createServer(
    idempotency.protect(async (req, res, context) => {
      const json = isJson(req.headers['content-type']) && context.body.length > 0;
      const body = json ? JSON.parse(context.body.toString()) : context.body;
      const reply = await app.handle(pathOf(req.url), body, context.idempotency, (part) =>
        res.write(part),
      );
      for (const [name, value] of Object.entries(reply.headers)) res.setHeader(name, value);
      res.statusCode = reply.status;
      if ('stream' in reply.body) return pipeline(reply.body.stream, res);
      if ('bytes' in reply.body) return void res.end(reply.body.bytes);
      res.writeHead(reply.status, ['Content-Type', 'application/json']);
      res.end(JSON.stringify(reply.body.json));
    }),
  );
  return listen(server, () => idempotency.close());
};

export const expressServer: StartServer = async (app, options) => {
  const idempotency = expressIdempotency({ ...options, scope: scopeOf });
  const web = express();
  web.use(express.json({ strict: false }), idempotency);
  web.all('/{*path}', async (req, res) => {
    const { idempotency } = req as never as Given;
    const reply = await app.handle(req.path, req.body, idempotency, (part) => res.write(part));
    res.status(reply.status).set(reply.headers);
    if ('stream' in reply.body) reply.body.stream.pipe(res);
    else if ('bytes' in reply.body) res.send(reply.body.bytes);
    else res.json(reply.body.json);
  });
  web.use((_error: Error, _req: unknown, res: express.Response, _next: unknown) => {
    res.status(500).json({ code: 'internal' });
  });
  return listen(createServer(web), () => idempotency.close());
};

export const fastifyServer: StartServer = async (app, options) => {
  const web = fastify({ forceCloseConnections: true });
  web.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_, body, done) =>
    done(null, body),
  );
  web.all('/*', async (request, reply) => {
    const { url, body, idempotency } = request;
    const write = (part: string) => reply.raw.write(part);
    const answer = await app.handle(pathOf(url), body, idempotency, write);
    reply.code(answer.status).headers(answer.headers);
    if ('stream' in answer.body) return reply.send(answer.body.stream);
    return reply.send('bytes' in answer.body ? answer.body.bytes : answer.body.json);
  });
  web.register(fastifyIdempotency, { ...options, scope: scopeOf, onProtected: () => {} });
  const url = await web.listen({ port: 0, host: '127.0.0.1' });
  return { url, close: () => web.close() };
};

export const honoServer: StartServer = async (app, options) => {
  const idempotency = honoIdempotency({
    ...options,
    scope: (c) => c.req.header('authorization') ?? '',
  });
  const web = new Hono();
  web.use(idempotency);
  web.all('/*', async (c) => {
    const json = isJson(c.req.header('content-type'));
    const body = json ? await c.req.json() : Buffer.from(await c.req.arrayBuffer());
    const reply = await app.handle(c.req.path, body, c.get('idempotency'));
    const init = { status: reply.status, headers: reply.headers };
    if ('json' in reply.body) return Response.json(reply.body.json, init);
    if ('bytes' in reply.body) return new Response(new Uint8Array(reply.body.bytes), init);
    return new Response(Readable.toWeb(reply.body.stream) as ReadableStream, init);
  });
  const server = serve({ fetch: web.fetch, port: 0, hostname: '127.0.0.1' }) as Server;
  await once(server, 'listening');
  return opened(server, () => idempotency.close());
};

interface Given {
  method: string;
  url: string;
  body: unknown;
  idempotency: never;
}

type Sink = {
  status(code: number): unknown;
  header(name: string, value: string): unknown;
  write(part: string): unknown;
  raw?: { write(part: string): unknown };
};

const paths =
  'things other held flaky throws partial refused bytes stream large silent open-stream transaction transaction-then-throw unsendable'.split(
    ' ',
  );

const nestServer = (adapter: () => ExpressAdapter | FastifyAdapter): StartServer => {
  return async (app, options) => {
    class Things {
      async post(request: Given, response: Sink): Promise<unknown> {
        const { url, body, idempotency } = request;
        const write = (part: string) => (response.raw ?? response).write(part);
        const reply = await app.handle(pathOf(url), body, idempotency, write);
        return nestReply(reply, response);
      }
    }
    // What the decorators do, which type stripping has no syntax for.
    const method = Object.getOwnPropertyDescriptor(Things.prototype, 'post') as PropertyDescriptor;
    Post(paths)(Things.prototype, 'post', method);
    Req()(Things.prototype, 'post', 0);
    Res({ passthrough: true })(Things.prototype, 'post', 1);
    Controller()(Things);
    const interceptor = new IdempotencyInterceptor({
      ...options,
      scope: (request) => String(request.headers.authorization ?? ''),
    });
    class Root {}
    Module({
      controllers: [Things],
      providers: [{ provide: APP_INTERCEPTOR, useValue: interceptor }],
    })(Root);
    const nest = await NestFactory.create(Root, adapter() as never, { logger: false });
    nest.enableShutdownHooks([]);
    const bytes = { bodyLimit: 2 ** 20 };
    (nest as unknown as { useBodyParser(...args: unknown[]): void }).useBodyParser(
      ...(adapter.name === 'fastifyAdapter'
        ? ['application/octet-stream', bytes]
        : ['raw', { type: 'application/octet-stream' }]),
    );
    await nest.listen(0, '127.0.0.1');
    return { url: await nest.getUrl(), close: () => nest.close() };
  };
};

function nestReply(reply: ModelReply, response: Sink): unknown {
  response.status(reply.status);
  for (const [name, value] of Object.entries(reply.headers)) response.header(name, value);
  if ('json' in reply.body) return reply.body.json;
  const type = { type: reply.headers['content-type'] ?? '' };
  if ('bytes' in reply.body) return new StreamableFile(reply.body.bytes, type);
  return new StreamableFile(reply.body.stream, type);
}

function expressAdapter() {
  return new ExpressAdapter();
}
function fastifyAdapter() {
  return new FastifyAdapter({ forceCloseConnections: true });
}
export const nestOnExpress = nestServer(expressAdapter);
export const nestOnFastify = nestServer(fastifyAdapter);

function pathOf(url = '/'): string {
  return url.split('?')[0] as string;
}

async function listen(server: Server, close: () => Promise<void>) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return opened(server, close);
}

function opened(server: Server, close: () => Promise<void>) {
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await close();
    },
  };
}

import 'reflect-metadata';
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  Controller,
  Header,
  HttpCode,
  type INestApplication,
  Module,
  Post,
  Res,
} from '@nestjs/common';
import { APP_INTERCEPTOR, ExternalContextCreator, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { memoryClaims } from '../claims/memory.ts';
import { IdempotencyInterceptor } from './nest.ts';

const singleTenant = true;
const adapters = {
  express: () => new ExpressAdapter(),
  fastify: () => new FastifyAdapter({ forceCloseConnections: true }),
};

interface Reply {
  header(name: string, value: string): unknown;
}
type Handler = (reply: Reply) => unknown;

interface Setup {
  adapter: keyof typeof adapters;
  interceptor: IdempotencyInterceptor;
  handler: Handler;
  /** Whether Nest knows the interceptor as a provider. Default true. */
  provided?: boolean;
}

/** An application with `POST /things`. */
async function start(t: TestContext, { adapter, interceptor, handler, provided = true }: Setup) {
  class Things {
    post(reply: Reply): unknown {
      return handler(reply);
    }
  }
  // What the decorators do, which type stripping has no syntax for.
  const method = Object.getOwnPropertyDescriptor(Things.prototype, 'post') as PropertyDescriptor;
  Post('things')(Things.prototype, 'post', method);
  HttpCode(202)(Things.prototype, 'post', method);
  Header('ETag', '"decorated"')(Things.prototype, 'post', method);
  Res({ passthrough: true })(Things.prototype, 'post', 0);
  Controller()(Things);
  class Root {}
  const providers = provided ? [{ provide: APP_INTERCEPTOR, useValue: interceptor }] : [];
  Module({ controllers: [Things], providers })(Root);
  const options = { logger: false, forceCloseConnections: true } as const;
  const nest: INestApplication = await NestFactory.create(Root, adapters[adapter](), options);
  if (!provided) nest.useGlobalInterceptors(interceptor);
  t.after(() => nest.close());
  return { nest, things: nest.get(Things) };
}

async function post(nest: INestApplication, key: string, body = '{}') {
  const headers = { 'idempotency-key': key, 'content-type': 'application/json' };
  const url = `${await nest.getUrl()}/things`;
  const signal = AbortSignal.timeout(10_000);
  const sent = await fetch(url, { method: 'POST', headers, body, signal });
  return { status: sent.status, headers: sent.headers, text: await sent.text() };
}

for (const adapter of ['express', 'fastify'] as const) {
  test(`what is no HTTP request passes through: ${adapter}`, async (t) => {
    const interceptor = new IdempotencyInterceptor({ singleTenant });
    const { nest, things } = await start(t, { adapter, interceptor, handler: () => 'done' });
    await nest.init();
    for (const type of ['rpc', 'ws', 'graphql']) {
      const handle = nest
        .get(ExternalContextCreator)
        .create(
          things,
          things.post as never,
          'post',
          '',
          undefined,
          undefined,
          '',
          undefined,
          type,
        );
      // GraphQL has no root at the top; a message may have members like a request's.
      for (const first of [undefined, { method: 'POST' }]) {
        assert.equal(await handle(first), 'done', type);
      }
    }
  });

  test(`a repeat has the headers of the handler, and of the guards of its own request: ${adapter}`, async (t) => {
    const interceptor = new IdempotencyInterceptor({ singleTenant });
    const { nest } = await start(t, {
      adapter,
      interceptor,
      handler: (reply) => {
        reply.header('Location', '/things/7');
        reply.header('Content-Type', 'application/vnd.thing+json');
        reply.header('Set-Cookie', 'session=1');
        return { id: 7 };
      },
    });
    let guarded = 0;
    nest.useGlobalGuards({
      canActivate: (context) => {
        const reply = context.switchToHttp().getResponse<Reply>();
        reply.header('X-Guarded', `${++guarded}`);
        return true;
      },
    });
    await nest.listen(0, '127.0.0.1');
    const [first, second] = [await post(nest, 'k'), await post(nest, 'k')];
    const refused = await post(nest, 'k', '{"other":1}');
    for (const [{ status, text, headers }, replayed] of [
      [first, null],
      [second, 'true'],
    ] as const) {
      assert.deepEqual([status, text], [202, '{"id":7}']);
      assert.equal(headers.get('idempotent-replayed'), replayed);
      assert.equal(headers.get('location'), '/things/7');
      assert.match(headers.get('content-type') ?? '', /^application\/vnd\.thing\+json/);
      assert.equal(headers.get('content-type'), first.headers.get('content-type'));
      assert.equal(headers.get('etag'), first.headers.get('etag'));
      assert.ok(headers.get('etag'));
    }
    assert.equal(second.headers.get('set-cookie'), null);
    assert.equal(refused.status, 422);
    assert.deepEqual(
      [first, second, refused].map(({ headers }) => headers.get('x-guarded')),
      ['1', '2', '3'],
    );
  });

  for (const provided of [true, false]) {
    const how = provided ? 'by Nest, where it is a provider' : 'by who made it by hand';
    test(`the interceptor is closed ${how}: ${adapter}`, async (t) => {
      const claims = memoryClaims();
      const interceptor = new IdempotencyInterceptor({
        singleTenant,
        claims,
        query: async () => [],
      });
      const running = Promise.withResolvers<void>();
      const handler = () => new Promise(() => running.resolve());
      const { nest } = await start(t, { adapter, interceptor, handler, provided });
      await nest.listen(0, '127.0.0.1');
      post(nest, 'k').catch(() => {});
      await running.promise;
      assert.equal((await claims.peek('', 'k'))?.state, 'in-flight');
      if (provided) await nest.close();
      else await interceptor.close();
      assert.equal(await claims.peek('', 'k'), undefined);
    });
  }
}

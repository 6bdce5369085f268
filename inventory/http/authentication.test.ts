import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import Fastify from 'fastify';
import { addAuthentication, type Principal, sha256 } from './authentication.ts';

test('a key is trusted for 5 s from the question to the database, however slow the answer', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const askedAt: number[] = [];
  const principal: Principal = { tenant: 'demo', role: 'reader', name: 'ci' };
  const app = Fastify();
  t.after(() => app.close());
  addAuthentication(app, async () => {
    askedAt.push(now);
    now += 4_000;
    return principal;
  });
  app.get('/', { config: { role: 'reader' } }, async () => 'ok');
  const request = async () => {
    const { statusCode } = await app.inject({
      url: '/',
      headers: { authorization: 'Bearer a-key' },
    });
    assert.equal(statusCode, 200);
  };

  await request();
  now = 4_999;
  await request();
  assert.deepEqual(askedAt, [0]);
  now = 5_000;
  await request();
  assert.deepEqual(askedAt, [0, 5_000]);
});

test('requests of a key that is being looked up wait for that look-up', async (t) => {
  const found = Promise.withResolvers<Principal>();
  let lookUps = 0;
  const app = Fastify();
  t.after(() => app.close());
  addAuthentication(app, (secretSha256) => {
    lookUps += 1;
    return secretSha256 === sha256('a-key') ? found.promise : Promise.resolve(undefined);
  });
  app.get('/', { config: { role: 'reader' } }, async () => 'ok');
  app.setErrorHandler((_error, _request, reply) => reply.code(401).send());
  const statusOf = async (key: string) => {
    const headers = { authorization: `Bearer ${key}` };
    return (await app.inject({ url: '/', headers })).statusCode;
  };
  const waiting = ['a-key', 'a-key', 'a-key'].map(statusOf);
  assert.equal(await statusOf('another'), 401);
  assert.equal(await statusOf('another'), 401);
  assert.equal(lookUps, 3);
  found.resolve({ tenant: 'demo', role: 'reader', name: 'ci' });
  assert.deepEqual(await Promise.all(waiting), [200, 200, 200]);
});

test('a key that is revoked while the body is on its way is refused', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const principal: Principal = { tenant: 'demo', role: 'writer', name: 'ci' };
  const asked = Promise.withResolvers<void>();
  let isRevoked = false;
  const app = Fastify();
  t.after(() => app.close());
  addAuthentication(app, async () => {
    asked.resolve();
    return isRevoked ? undefined : principal;
  });
  app.post('/', { config: { role: 'writer' } }, async () => 'ok');
  app.setErrorHandler((_error, _request, reply) => reply.code(401).send());
  const payload = new PassThrough();
  const headers = { authorization: 'Bearer a-key', 'content-type': 'application/json' };
  const reply = app.inject({ method: 'POST', url: '/', headers, payload });
  await asked.promise;
  isRevoked = true;
  now = 5_000;
  payload.end('{}');
  assert.equal((await reply).statusCode, 401);
});

test('a look-up that is late admits nobody who came long after it was sent', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const answers: PromiseWithResolvers<Principal | undefined>[] = [];
  const app = Fastify();
  t.after(() => app.close());
  addAuthentication(app, () => {
    const answer = Promise.withResolvers<Principal | undefined>();
    answers.push(answer);
    return answer.promise;
  });
  app.get('/', { config: { role: 'reader' } }, async () => 'ok');
  app.setErrorHandler((_error, _request, reply) => reply.code(401).send());
  const request = async () => {
    const headers = { authorization: 'Bearer a-key' };
    return (await app.inject({ url: '/', headers })).statusCode;
  };
  const looksUp = (count: number) =>
    waitFor(`it was asked for ${count} times`, () => answers.length === count);
  const early = request();
  await looksUp(1);
  now = 5_000;
  const late = request();
  await looksUp(2);
  answers[1]?.resolve(undefined);
  assert.equal(await late, 401);
  now = 0;
  answers[0]?.resolve({ tenant: 'demo', role: 'reader', name: 'ci' });
  assert.equal(await early, 200);
});

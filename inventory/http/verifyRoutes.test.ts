import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { waitFor } from '@onhand/fixtures';
import { waitingSessions } from '../testing/pipelineRig.ts';
import { listen, startApi } from './testing/api.ts';
import { assertProblem, Caller } from './testing/caller.ts';

const api = await startApi({ after });
const verify = '/v1/verify';

/**
 * Lets no proof get beyond its first page.
 * @returns what waits for one to stand there, and lets go
 */
async function holdProofs(t: TestContext) {
  const session = await api.session(t);
  await session.query('BEGIN; LOCK TABLE postings IN ACCESS EXCLUSIVE MODE');
  return {
    held: () => waitFor('a proof is held', async () => (await waitingSessions(session)) === 1),
    release: () => session.query('COMMIT'),
  };
}

test('who asks while a proof of the ledger waits shares it, and another waits its turn', async (t) => {
  const [one, other] = [await api.tenant(), await api.tenant()];
  const { app, database } = api.service;
  const taken = t.mock.method(database.reads, 'connect');
  // Keys that are known: their next requests go through at once.
  await Promise.all([one, other].map(({ admin }) => admin.get('/v1/locks')));
  const proofs = await holdProofs(t);
  const first = one.admin.get(verify);
  await proofs.held();
  let arrived = 0;
  app.server.on('request', () => {
    arrived += 1;
  });
  const behind = [one, one, other].map(({ admin }) => admin.get(verify));
  await waitFor('all have arrived', () => arrived === 3);
  await nextTurn();
  await proofs.release();
  const replies = await Promise.all([first, ...behind]);
  assert.deepEqual(
    replies.map(({ status }) => status),
    [200, 200, 200, 200],
  );
  assert.equal(taken.mock.callCount(), 3);
});

test('the turn of a client that has hung up is passed on', async (t) => {
  const tenants = [await api.tenant(), await api.tenant(), await api.tenant()] as const;
  const [before, gone, behind] = tenants;
  const { app, database } = api.service;
  const taken = t.mock.method(database.reads, 'connect');
  const proofs = await holdProofs(t);
  const first = before.admin.get(verify);
  await proofs.held();
  // A key that is known: its next request goes through at once.
  await gone.admin.get('/v1/locks');
  const accepted = once(app.server, 'connection');
  const client = net.connect(Number(new URL(api.url).port), '127.0.0.1');
  const head = ['GET /v1/verify HTTP/1.1', 'Host: a', `Authorization: Bearer ${gone.admin.secret}`];
  client.write(`${head.join('\r\n')}\r\n\r\n`);
  const [socket] = (await accepted) as [net.Socket];
  await waitFor('its request has arrived', () => socket.bytesRead > 0);
  await nextTurn();
  client.destroy();
  await waitFor('the service notices', () => socket.destroyed);
  const last = behind.admin.get(verify);
  await proofs.release();
  assert.deepEqual([(await first).status, (await last).status], [200, 200]);
  assert.equal(taken.mock.callCount(), 2);
});

test('a stop ends a proof with its page', async (t) => {
  const { admin } = await api.tenant();
  const backing = { databaseUrl: api.databaseUrl, redisUrl: api.redis.url };
  const { service, url } = await listen(t, backing, {});
  const proofs = await holdProofs(t);
  const proof = new Caller(url, admin.secret).get(verify);
  await proofs.held();
  const stopped = service.app.close();
  await waitFor('it stops', () => !service.app.server.listening);
  await proofs.release();
  assertProblem(await proof, 'overloaded');
  await stopped;
});

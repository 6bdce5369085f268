import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Link } from '../network/link.ts';
import { Random } from '../random.ts';
import type { Cluster } from '../supervisor/cluster.ts';
import { faultKinds } from './catalogue.ts';

test('a service that is starting is not killed, paused or given another time', async () => {
  const cluster = { services: [{ index: 0, isReady: false }] } as unknown as Cluster;
  for (const kind of ['kill-service', 'pause-service', 'jump-clock'] as const) {
    assert.equal(await faultKinds[kind].draw(cluster, new Random(1)).inject(), undefined, kind);
  }
});

test('a link is broken only while there is a connection on it', async (t) => {
  const upstream = await Link.listen('upstream');
  const link = await Link.listen('link', { port: upstream.port });
  t.after(() => Promise.all([link.close(), upstream.close()]));
  const service = { index: 0, front: link, postgres: link, redis: link };
  const cluster = { services: [service] } as unknown as Cluster;
  const kinds = [
    'cut-clients',
    'cut-postgres',
    'delay',
    'dribble',
    'half-open',
    'black-hole',
  ] as const;
  const inject = (kind: (typeof kinds)[number]) =>
    faultKinds[kind].draw(cluster, new Random(1)).inject();
  for (const kind of kinds) assert.equal(await inject(kind), undefined, kind);
  upstream.shape({ kind: 'black-hole' });
  upstream.aim({ port: upstream.port });
  const socket = connect(link.port, '127.0.0.1').on('error', () => {});
  await once(socket, 'connect');
  while (link.connected === 0) await new Promise((resolve) => setImmediate(resolve));
  const heal = await inject('delay');
  assert.ok(heal);
  await heal();
});

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { reasonOf, StartError } from './startError.ts';

test('a message of several lines becomes one', () => {
  assert.equal(new StartError('it failed:\n  because\n').message, 'it failed: because');
});

test('an I/O error is told in words, any other by its message', () => {
  assert.equal(
    reasonOf(Object.assign(new Error('ENOSPC: no'), { code: 'ENOSPC' })),
    'the disk is full',
  );
  assert.equal(reasonOf(new Error('relation is missing')), 'relation is missing');
  assert.equal(reasonOf(Object.assign(new Error(''), { code: '08006' })), '08006');
  assert.equal(reasonOf('thrown text'), 'thrown text');
});

test('a connection refused on every address of a host is told as one', async () => {
  const { port } = await new Promise<net.AddressInfo>((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const address = server.address() as net.AddressInfo;
      server.close(() => resolve(address));
    });
  });
  const error = await new Promise((resolve) => {
    const lookup: net.LookupFunction = (_host, _options, done) =>
      done(null, [
        { address: '127.0.0.1', family: 4 },
        { address: '127.0.0.2', family: 4 },
      ]);
    net.connect({ host: 'two.example', port, lookup }).once('error', resolve);
  });
  assert.ok(error instanceof AggregateError);
  assert.equal(reasonOf(error), 'connection refused');
  assert.equal(reasonOf(new AggregateError(error.errors)), 'connection refused');
});

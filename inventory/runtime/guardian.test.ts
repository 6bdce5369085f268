import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeTestFolder } from '../../fixtures/folder.ts';
import { type Guarded, startGuarded } from './guardian.ts';

test('a server that ignores its stop signal is cut off after its patience', async (t) => {
  const { server } = await guard(t, `trap '' TERM; echo up; while :; do sleep 0.1; done`);
  const before = performance.now();
  assert.equal(await server.stop(), 'code 137');
  const tookMs = performance.now() - before;
  assert.ok(tookMs >= 900 && tookMs < 10_000, `after ${tookMs} ms`);
});

test('a server that ends by itself passes its code on, and its folder goes', async (t) => {
  const { server, privateDir } = await guard(t, 'exit 7');
  assert.equal(await server.exited, 'code 7');
  assert.equal(server.running, false);
  assert.equal(existsSync(privateDir), false);
  assert.equal(await server.stop(), 'code 7');
});

test('a server gets none of our environment', async (t) => {
  process.env.PGPORT = '1';
  t.after(() => delete process.env.PGPORT);
  const { server } = await guard(t, 'test -z "$PGPORT" && exit 5');
  assert.equal(await server.exited, 'code 5');
});

test('what is to be inherited is open in the server alone', async (t) => {
  const file = path.join(makeTestFolder(t), 'file');
  const inherited = openSync(file, 'a');
  // The guardian closes its own when the server has begun, so the server looks until it is gone.
  const told = `
    echo server >&4
    tries=0
    while [ -e /proc/$PPID/fd/4 ] && [ $tries -lt 500 ]; do sleep 0.01; tries=$((tries + 1)); done
    [ ! -e /proc/$PPID/fd/4 ] && exit 6`;
  const { server } = await guard(t, told, inherited);
  closeSync(inherited);
  assert.equal(await server.exited, 'code 6');
  assert.equal(readFileSync(file, 'utf8'), 'server\n');
});

async function guard(
  t: TestContext,
  script: string,
  inherited?: number,
): Promise<{ server: Guarded; privateDir: string }> {
  const privateDir = path.join(makeTestFolder(t), 'private');
  mkdirSync(privateDir);
  const server = await startGuarded({
    command: '/bin/sh',
    args: ['-c', script],
    stopSignal: 'TERM',
    forceSignal: 'KILL',
    patienceSeconds: 1,
    privateDir,
    output: 'ignore',
    inherited,
  });
  t.after(async () => void (await server.stop()));
  return { server, privateDir };
}

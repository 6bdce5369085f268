import assert from 'node:assert/strict';
import { closeSync, lstatSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { makeTestFolder } from '../../fixtures/folder.ts';
import { isPostgresAlive, openLivenessPipe } from './livenessPipe.ts';

test('somebody is alive while the read end is open anywhere', (t) => {
  const folder = makeTestFolder(t);
  assert.equal(isPostgresAlive(folder), false, 'no pipe yet');
  const [one, two] = [open(folder), open(folder)];
  assert.equal(isPostgresAlive(folder), true);
  closeSync(one);
  assert.equal(isPostgresAlive(folder), true);
  closeSync(two);
  assert.equal(isPostgresAlive(folder), false);
});

test('a file in place of the pipe gives way to it', (t) => {
  const folder = makeTestFolder(t);
  const file = path.join(folder, 'postgres.alive');
  writeFileSync(file, '');
  assert.equal(isPostgresAlive(folder), false);
  closeSync(open(folder));
  assert.ok(lstatSync(file).isFIFO());
});

test('a pipe that cannot be made is an error with the reason', (t) => {
  const folder = path.join(makeTestFolder(t), 'none');
  assert.throws(() => open(folder), {
    name: 'StartError',
    message: /^cannot make the named pipe .*alive: .*No such file or directory/,
  });
});

function open(folder: string): number {
  return openLivenessPipe({ folder, account: undefined });
}

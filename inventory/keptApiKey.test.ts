import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { makeTestFolder } from '@onhand/fixtures';
import { keptApiKey } from './keptApiKey.ts';

test('a key is made once, for its owner to read', (t) => {
  const dataDir = path.join(makeTestFolder(t), 'new', 'data');
  const key = keptApiKey(dataDir);
  assert.match(key, /^onhand_[\w-]{32}$/);
  assert.equal(keptApiKey(dataDir), key);
  assert.deepEqual(readdirSync(dataDir), ['api-key']);
  assert.equal(statSync(path.join(dataDir, 'api-key')).mode & 0o777, 0o600);
});

for (const content of ['', '\n', 'short\n', 'two words in it\n']) {
  test(`a file of ${JSON.stringify(content)} is no key, and is named`, (t) => {
    const dataDir = makeTestFolder(t);
    writeFileSync(path.join(dataDir, 'api-key'), content);
    assert.throws(() => keptApiKey(dataDir), /^StartError: .*api-key holds no API key: remove it/);
  });
}

test('where no key can be kept, one line says why', (t) => {
  const dataDir = path.join(makeTestFolder(t), 'file');
  writeFileSync(dataDir, '');
  assert.throws(() => keptApiKey(dataDir), /^StartError: cannot keep an API key in .*file.*: /);
  assert.throws(() => keptApiKey(path.join(dataDir, 'below')), /^StartError: cannot keep/);
  const folder = path.join(makeTestFolder(t), 'data');
  mkdirSync(path.join(folder, 'api-key'), { recursive: true });
  assert.throws(() => keptApiKey(folder), /^StartError: cannot keep an API key in .*api-key: /);
});

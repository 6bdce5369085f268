import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyOf } from './body.ts';

test('bytes of another encoding than UTF-8 count as they are, also where they look like JSON', () => {
  const type = 'application/json; charset=iso-8859-1';
  for (const name of ['é', 'è']) {
    const bytes = Buffer.from(`{"name":"${name}"}`, 'latin1');
    assert.deepEqual(bodyOf(bytes, type), { raw: bytes });
    assert.deepEqual(bodyOf(Buffer.from(`{"name":"${name}"}`), type), { json: { name } });
  }
});

test('JSON that is none counts as its bytes', () => {
  const bytes = Buffer.from('{"a":');
  assert.deepEqual(bodyOf(bytes, 'application/json'), { raw: bytes });
  assert.equal(bodyOf(Buffer.alloc(0), 'application/json'), undefined);
});

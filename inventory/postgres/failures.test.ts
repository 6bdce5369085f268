import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import pg from 'pg';
import { failureOf } from './failures.ts';

const database = await createTestDatabase({ after });

test('a statement behind a failed one in a pipeline says nothing against its batch', async (t) => {
  const client = new pg.Client({
    connectionString: database.url,
    pipeline: true,
  } as pg.ClientConfig);
  await client.connect();
  t.after(() => client.end());
  const [, refused, behind] = await Promise.allSettled([
    client.query('BEGIN'),
    client.query('SELECT 1 / 0'),
    client.query('SELECT 1'),
  ]);
  assert.equal(refused?.status === 'rejected' && failureOf(refused.reason), 'refused');
  assert.equal(behind?.status === 'rejected' && failureOf(behind.reason), 'transient');
  await client.query('ROLLBACK');
});

test('a transaction that the server ended for its length is a database out of reach', async (t) => {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  t.after(() => client.end());
  const raise = `DO $$ BEGIN RAISE 'as meant' USING ERRCODE = '25P04'; END $$`;
  await assert.rejects(client.query(raise), (error) => failureOf(error) === 'unreachable');
});

for (const code of [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REVOKED',
  'CRL_HAS_EXPIRED',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'INVALID_CA',
  'HOSTNAME_MISMATCH',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]) {
  test(`a certificate that is refused as ${code} is a database out of reach`, () => {
    assert.equal(failureOf(Object.assign(new Error('refused'), { code })), 'unreachable');
  });
}

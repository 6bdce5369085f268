import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import { startPurge } from './purge.ts';
import { pipelineRig } from './testing/pipelineRig.ts';

test('a tenant whose records cannot be deleted keeps nobody from being purged', async (t) => {
  const { session, database } = await pipelineRig(t);
  await session.query(`
    INSERT INTO tenants (tenant_id) VALUES ('stuck-1'), ('free-1'), ('stuck-2'), ('free-2');
    INSERT INTO idempotency_records (scope, key, fingerprint, status, headers, body, expires_at)
    SELECT tenant_id, 'k', sha256(''), 201, '{}', '', now() - interval '1 s' FROM tenants;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION '% is stuck', OLD.scope USING ERRCODE = 'query_canceled'; END $$;
    CREATE TRIGGER refuse BEFORE DELETE ON idempotency_records
      FOR EACH ROW WHEN (OLD.scope LIKE 'stuck-%') EXECUTE FUNCTION refuse()`);
  const reports: string[] = [];
  const purge = startPurge(database.reads, (error) => reports.push((error as Error).message));
  t.after(() => purge.stop());
  const left = async () => {
    const { rows } = await session.query('SELECT scope FROM idempotency_records ORDER BY scope');
    return rows.map(({ scope }) => scope);
  };
  await waitFor('both are reported', () => reports.length === 2);
  await waitFor('the others are purged', async () => (await left()).length === 2);
  assert.deepEqual(await left(), ['stuck-1', 'stuck-2']);
  assert.deepEqual(reports.toSorted(), ['stuck-1 is stuck', 'stuck-2 is stuck']);
});

test('a database out of reach is reported once a round', async (t) => {
  const { session, database } = await pipelineRig(t);
  await session.query(`
    INSERT INTO tenants (tenant_id) VALUES ('t-1'), ('t-2');
    INSERT INTO idempotency_records (scope, key, fingerprint, status, headers, body, expires_at)
    SELECT tenant_id, 'k', sha256(''), 201, '{}', '', now() - interval '1 s' FROM tenants;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'gone' USING ERRCODE = 'admin_shutdown'; END $$;
    CREATE TRIGGER refuse BEFORE DELETE ON idempotency_records
      FOR EACH ROW EXECUTE FUNCTION refuse()`);
  const reports: unknown[] = [];
  const purge = startPurge(database.reads, (error) => reports.push(error));
  await waitFor('it is reported', () => reports.length > 0);
  await purge.stop();
  assert.equal(reports.length, 1);
});

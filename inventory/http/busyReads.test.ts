import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import { waitingSessions } from '../testing/pipelineRig.ts';
import { startApi, stock } from './testing/api.ts';

const api = await startApi({ after });
const receipt = { warehouse: 'W1', lines: [{ product: 'P', quantity: 1 }] };

test('lists that hold every connection for reads hold up no command', async (t) => {
  const [busy, other] = [await api.tenant(), await api.tenant()];
  const another = await api.another(t, {});
  const elsewhere = other.writer.at(another);
  await stock(elsewhere, 'P');
  const first = await elsewhere.did('/v1/receipts', receipt, 'sent-twice');

  const { reads } = api.service.database;
  const session = await api.session(t);
  await session.query('BEGIN; LOCK TABLE reservations IN ACCESS EXCLUSIVE MODE');
  const lists = Array.from({ length: reads.options.max }, () =>
    busy.reader.get('/v1/reservations'),
  );
  const allHeld = async () => (await waitingSessions(session)) === reads.options.max;
  await waitFor('every connection is held', allHeld);

  // Nothing of the tenant was asked of this instance before: its key, its record.
  const repeat = await other.writer.did('/v1/receipts', receipt, 'sent-twice');
  assert.deepEqual([repeat.text, repeat.headers.get('idempotent-replayed')], [first.text, 'true']);
  await other.writer.did('/v1/receipts', receipt);
  assert.equal((await api.anonymous.get('/readyz')).status, 200);
  assert.ok(await allHeld(), 'the lists still hold them');

  await session.query('COMMIT');
  for (const { status, text } of await Promise.all(lists)) assert.equal(status, 200, text);
});

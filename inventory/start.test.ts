import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeDataDir, startService } from '@onhand/fixtures';

test('variables of libpq do not reach the sessions on the embedded database', async (t) => {
  const env = {
    ONHAND_DATA_DIR: makeDataDir(t),
    PGOPTIONS: '-c default_transaction_read_only=on',
    PGSSLNEGOTIATION: 'direct',
  };
  const service = await startService(t, { env });
  assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
});

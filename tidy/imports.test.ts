import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { checkImports } from './imports.ts';

function checkoutWith(cleanup: { after(fn: () => void): void }, files: Record<string, string>) {
  const checkout = mkdtempSync(path.join(os.tmpdir(), 'tidy-'));
  cleanup.after(() => rmSync(checkout, { recursive: true }));
  for (const [file, source] of Object.entries(files)) {
    mkdirSync(path.join(checkout, path.dirname(file)), { recursive: true });
    writeFileSync(path.join(checkout, file), source);
  }
  return checkout;
}

test('every import of this checkout goes the allowed way', () => {
  assert.deepEqual(checkImports(), []);
});

test('an arrow the other way is named with its file', (t) => {
  const checkout = checkoutWith(t, {
    'inventory/stock/decide.ts': `import { query } from '../postgres/query.ts';\n`,
    'inventory/postgres/query.ts': `import {\n  a,\n} from '../http/app.ts';\n`,
    'lock/locks.ts': `export { Pipeline } from '../inventory/pipeline/pipeline.ts';\n`,
    'idempotency/layer.ts': `import type { Lease } from '@onhand/lock';\n`,
  });
  assert.deepEqual(checkImports(checkout), [
    'inventory/stock/decide.ts: inventory/stock may not import ../postgres/query.ts',
    'inventory/postgres/query.ts: inventory/postgres may not import ../http/app.ts',
    'idempotency/layer.ts: idempotency may not import @onhand/lock',
    'lock/locks.ts: lock may not import ../inventory/pipeline/pipeline.ts',
  ]);
});

test('what starts the service may take all of it, and none of the tools', (t) => {
  const checkout = checkoutWith(t, {
    'inventory/main.ts': `import { app } from './http/app.ts';\nimport { run } from '../bench/run.ts';\n`,
    'inventory/http/app.ts': `import { ApiError } from '../errors.ts';\nimport { go } from '../main.ts';\n`,
  });
  assert.deepEqual(checkImports(checkout), [
    'inventory/http/app.ts: inventory/http may not import ../main.ts',
    'inventory/main.ts: inventory may not import ../bench/run.ts',
  ]);
});

test('the pure domain may take nothing from npm, and of Node only the hash', (t) => {
  const checkout = checkoutWith(t, {
    'inventory/stock/chain.ts': `import { hash } from 'node:crypto';\nimport fs from 'node:fs';\n`,
  });
  assert.deepEqual(checkImports(checkout), [
    'inventory/stock/chain.ts: inventory/stock may not import node:fs',
  ]);
});

test('tests may look anywhere', (t) => {
  const checkout = checkoutWith(t, {
    'lock/locks.test.ts': `import { startTestRedis } from '@onhand/fixtures';\n`,
  });
  assert.deepEqual(checkImports(checkout), []);
});

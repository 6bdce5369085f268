import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const folder = path.join(import.meta.dirname, '..');

test('the workload and the check share no code with the service', () => {
  const files = globSync('{check,workload}/**/*.ts', { cwd: folder }).filter(
    (file) => !file.endsWith('.test.ts'),
  );
  assert.ok(files.length > 15);
  for (const file of files) {
    const source = readFileSync(path.join(folder, file), 'utf8');
    assert.doesNotMatch(source, /from '(\.\.\/)+(inventory|idempotency|lock)|from '@onhand/, file);
  }
});

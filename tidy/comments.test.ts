import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { checkComments } from './comments.ts';

test('no comment of this checkout is wider than code may be', () => {
  assert.deepEqual(checkComments(), []);
});

test('a wide comment is named with its line, but for one with a URL and what is not ours', (t) => {
  const checkout = mkdtempSync(path.join(os.tmpdir(), 'tidy-'));
  t.after(() => rmSync(checkout, { recursive: true }));
  mkdirSync(path.join(checkout, 'node_modules'));
  const wide = 'wide '.repeat(20).trim();
  writeFileSync(path.join(checkout, 'node_modules/theirs.ts'), `// ${wide}\n`);
  writeFileSync(
    path.join(checkout, 'ours.ts'),
    `// short\n/** ${wide} */\nconst a = '${wide}';\n// https://example.com/${wide}\n  * ${wide}\n`,
  );
  assert.deepEqual(checkComments(checkout), [
    'ours.ts:2: the comment is wider than 100 columns',
    'ours.ts:5: the comment is wider than 100 columns',
  ]);
});

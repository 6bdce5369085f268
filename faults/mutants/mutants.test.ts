import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeTree, repository } from '../supervisor/tree.ts';
import { mutants } from './catalogue.ts';

/** A tree is full of links to what is installed, which must stay. */
function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'onhand-mutants-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('there are at least twelve mutants, each with a name of its own', () => {
  assert.ok(mutants.length >= 12);
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
});

for (const { name, patches } of mutants) {
  test(`${name} still applies, and what it makes is a program`, (t) => {
    const root = makeTree(path.join(makeFolder(t), 'tree'), patches);
    for (const { file } of patches) {
      const mutated = readFileSync(path.join(root, file), 'utf8');
      assert.notEqual(mutated, readFileSync(path.join(repository, file), 'utf8'), file);
      if (file.endsWith('.ts')) assert.ok(stripTypeScriptTypes(mutated).length > 0);
    }
  });
}

test('a patch whose text is not there exactly once is refused', (t) => {
  const file = 'inventory/stock/quantity.ts';
  const folder = makeFolder(t);
  for (const [index, find] of ['nobody wrote this', 'export function'].entries()) {
    const make = () => makeTree(path.join(folder, `${index}`), [{ file, find, replace: '' }]);
    assert.throws(make, /times what a mutant replaces/);
  }
});

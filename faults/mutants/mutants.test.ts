import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { mutants } from './catalogue.ts';
import { makeTree, repository } from './tree.ts';

test('there are at least twelve mutants, each with a name of its own', () => {
  assert.ok(mutants.length >= 12);
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length);
});

for (const { name, patches } of mutants) {
  test(`${name} still applies, and what it makes is a program`, () => {
    const tree = makeTree(patches);
    try {
      for (const { file } of patches) {
        const mutated = readFileSync(path.join(tree.root, file), 'utf8');
        assert.notEqual(mutated, readFileSync(path.join(repository, file), 'utf8'), file);
        if (file.endsWith('.ts')) assert.ok(stripTypeScriptTypes(mutated).length > 0);
      }
    } finally {
      tree.remove();
    }
  });
}

test('a patch whose text is not there exactly once is refused', () => {
  const file = 'inventory/stock/quantity.ts';
  for (const find of ['nobody wrote this', 'export function']) {
    assert.throws(() => makeTree([{ file, find, replace: '' }]), /times what a mutant replaces/);
  }
});

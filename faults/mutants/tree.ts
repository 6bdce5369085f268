import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Patch } from './mutant.ts';

export const repository = path.join(import.meta.dirname, '..', '..');

/** What a service runs from: itself and the packages of this repository that it imports. */
const copied = ['inventory', 'idempotency', 'lock', 'package.json'];

/** A copy of what a service runs from, patched or not. */
export interface Tree {
  readonly root: string;
  remove(): void;
}

/** @param patches none: the tree as it is */
export function makeTree(patches: readonly Patch[] = []): Tree {
  const root = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'onhand-tree-')));
  chmodSync(root, 0o755);
  const remove = () => rmSync(root, { recursive: true, force: true });
  try {
    for (const name of copied) {
      const filter = (file: string) => !file.includes('node_modules');
      cpSync(path.join(repository, name), path.join(root, name), { recursive: true, filter });
    }
    linkPackages(root);
    for (const patch of patches) applyPatch(root, patch);
    return { root, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Everything installed is shared, but our own packages are the copies. */
function linkPackages(root: string): void {
  const installed = path.join(repository, 'node_modules');
  const links = path.join(root, 'node_modules');
  mkdirSync(path.join(links, '@onhand'), { recursive: true });
  for (const name of readdirSync(installed)) {
    if (name !== '@onhand') symlinkSync(path.join(installed, name), path.join(links, name));
  }
  for (const name of ['idempotency', 'lock']) {
    symlinkSync(path.join(root, name), path.join(links, '@onhand', name));
  }
}

/** @throws when the text is not there exactly once: the code has moved on, and the mutant must too */
export function applyPatch(root: string, { file, find, replace }: Patch): void {
  const at = path.join(root, file);
  const source = readFileSync(at, 'utf8');
  const count = source.split(find).length - 1;
  if (count !== 1) throw new Error(`${file} has ${count} times what a mutant replaces:\n${find}`);
  writeFileSync(
    at,
    source.replace(find, () => replace),
  );
}

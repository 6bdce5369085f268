import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const repository = path.join(import.meta.dirname, '..', '..');

/** What a service runs from: itself and the packages of this repository that it imports. */
const copied = ['inventory', 'idempotency', 'lock', 'package.json'];

/** An exact replacement in one file of the tree. */
export interface Patch {
  /** From the root of the repository. */
  readonly file: string;
  /** Must occur exactly once. */
  readonly find: string;
  readonly replace: string;
}

/**
 * Copies what a service runs from, and patches the copy: a process that starts in the middle of a
 * run must not meet an edit, and a defect that is seeded must not be left behind.
 * @param patches none: the tree as it is
 * @returns `root`
 */
export function makeTree(root: string, patches: readonly Patch[] = []): string {
  mkdirSync(root);
  for (const name of copied) {
    const filter = (file: string) => !file.includes('node_modules');
    cpSync(path.join(repository, name), path.join(root, name), { recursive: true, filter });
  }
  linkPackages(root);
  for (const patch of patches) applyPatch(root, patch);
  return root;
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

/**
 * @throws when the text is not there exactly once: the code has moved on, and the mutant must too
 */
function applyPatch(root: string, { file, find, replace }: Patch): void {
  const at = path.join(root, file);
  const source = readFileSync(at, 'utf8');
  const count = source.split(find).length - 1;
  if (count !== 1) throw new Error(`${file} has ${count} times what a mutant replaces:\n${find}`);
  writeFileSync(
    at,
    source.replace(find, () => replace),
  );
}

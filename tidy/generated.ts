import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export const root = path.join(import.meta.dirname, '..');

/** Compares a generated file with what it should say, or writes it. */
export function checkGenerated(file: string, expected: string, write: boolean): string[] {
  const at = path.join(root, file);
  if (write) {
    writeFileSync(at, expected);
    return [];
  }
  return contentOf(at) === expected
    ? []
    : [`${file} is not what the code says: run \`npm run tidy -- --write\` and commit it`];
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

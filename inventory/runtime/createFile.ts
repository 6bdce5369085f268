import { randomUUID } from 'node:crypto';
import { existsSync, linkSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { reasonOf, StartError } from './startError.ts';

/**
 * Makes a file that appears with all of its content or not at all, also when the disk is full or
 * the process is killed: nobody reads what is still being written. Only its owner may read it.
 * @returns false when there is one already
 * @throws StartError naming the directory
 */
export function createFile(file: string, content: string): boolean {
  const draft = `${file}.${randomUUID()}`;
  try {
    writeFileSync(draft, content, { mode: 0o600, flush: true });
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    const dir = path.dirname(file);
    throw new StartError(`cannot write to the data directory ${dir}: ${reasonOf(error)}`);
  } finally {
    if (existsSync(draft)) rmSync(draft);
  }
}

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createFile } from './runtime/createFile.ts';
import { reasonOf, StartError } from './runtime/startError.ts';
import { API_KEY } from './settings.ts';

/** Where the admin key of a data directory is kept. */
export function keyFile(dataDir: string): string {
  return path.join(dataDir, 'api-key');
}

/**
 * The admin key of a data directory: made once, and kept in its file `api-key`.
 * @throws StartError when it cannot be kept, or the file holds no key
 */
export function keptApiKey(dataDir: string): string {
  const file = keyFile(dataDir);
  const key = read(file) ?? make(file);
  // Never a key that anybody could guess: an empty file would be one of no characters.
  if (API_KEY.test(key)) return key;
  throw new StartError(`${file} holds no API key: remove it to have a new one made`);
}

function make(file: string): string {
  try {
    mkdirSync(path.dirname(file), { recursive: true });
  } catch (error) {
    throw unusable(file, error);
  }
  const key = `onhand_${randomBytes(24).toString('base64url')}`;
  // Of two services that start at once, one makes it.
  return createFile(file, `${key}\n`) ? key : (read(file) ?? '');
}

function read(file: string): string | undefined {
  try {
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  } catch (error) {
    throw unusable(file, error);
  }
}

function unusable(file: string, error: unknown): StartError {
  return new StartError(`cannot keep an API key in ${file}: ${reasonOf(error)}`);
}

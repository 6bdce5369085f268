import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A Lua script and the name under which Redis keeps it. */
export interface Script {
  readonly source: string;
  readonly sha: string;
}

/** Reads the scripts beside this file and joins them into one. */
export function loadScript(...names: string[]): Script {
  const source = names
    .map((name) => readFileSync(new URL(`./${name}.lua`, import.meta.url), 'utf8'))
    .join('\n');
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

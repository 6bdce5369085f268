import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './generated.ts';

/** Biome keeps code to this width (`lineWidth` in biome.json) and leaves comments as they are. */
const columnsMax = 100;

const COMMENT = /^\s*(?:\/\/|\/\*|\*(?:[ /]|$))/;

/** Every comment line that is wider than code may be, one line each. A URL cannot be wrapped. */
export function checkComments(checkout = root): string[] {
  const files = globSync('**/*.{ts,mjs}', {
    cwd: checkout,
    exclude: ['**/node_modules', '**/dist'],
  });
  return files.sort().flatMap((file) =>
    readFileSync(path.join(checkout, file), 'utf8')
      .split('\n')
      .flatMap((line, at) =>
        COMMENT.test(line) && line.length > columnsMax && !line.includes('://')
          ? [`${file}:${at + 1}: the comment is wider than ${columnsMax} columns`]
          : [],
      ),
  );
}

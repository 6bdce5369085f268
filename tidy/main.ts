/**
 * Checks what the compiler and the linter cannot: the direction of imports, the width of comments,
 * the dumped schema, the generated documents. `--write` writes what is generated instead of
 * comparing it.
 */
import { checkComments } from './comments.ts';
import { errorsDocument, settingsDocument } from './documents.ts';
import { checkGenerated } from './generated.ts';
import { checkImports } from './imports.ts';
import { dumpSchema } from './schema.ts';

const write = process.argv.includes('--write');
const faults = [
  ...checkImports(),
  ...checkComments(),
  ...checkGenerated('docs/errors.md', errorsDocument(), write),
  ...checkGenerated('docs/settings.md', settingsDocument(), write),
  ...checkGenerated('inventory/migrations/schema.sql', await dumpSchema(), write),
];
for (const fault of faults) process.stderr.write(`${fault}\n`);
if (faults.length > 0) process.exit(1);
process.stdout.write('tidy: imports, comments, schema dump and generated documents are in order\n');

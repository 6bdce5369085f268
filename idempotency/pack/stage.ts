/**
 * Stages what is published: `node idempotency/pack/stage.ts [FOLDER]`, then `npm publish FOLDER`;
 * `dist/` here.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const folder = dirname(import.meta.dirname);
const dist = process.argv[2] ?? join(folder, 'dist');
const tsc = join(folder, '..', 'node_modules', '.bin', 'tsc');

rmSync(dist, { recursive: true, force: true });
const project = join(folder, 'tsconfig.build.json');
execFileSync(tsc, ['-p', project, '--outDir', dist], { stdio: 'inherit' });
for (const table of ['idempotency_records', 'idempotency_claims']) {
  cpSync(join(folder, 'postgres', `${table}.sql`), join(dist, 'postgres', `${table}.sql`));
}
cpSync(join(folder, 'README.md'), join(dist, 'README.md'));
cpSync(join(folder, '..', 'LICENSE'), join(dist, 'LICENSE'), { errorOnExist: false, force: true });

const { devDependencies: _, ...manifest } = JSON.parse(
  readFileSync(join(folder, 'package.json'), 'utf8'),
);
manifest.exports = Object.fromEntries(
  Object.entries(manifest.exports as Record<string, string>).map(([name, file]) => {
    if (!file.endsWith('.ts')) return [name, file];
    const base = file.slice(0, -'.ts'.length);
    return [name, { types: `${base}.d.ts`, default: `${base}.js` }];
  }),
);
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);

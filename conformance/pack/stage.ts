/**
 * Stages what is published: `node conformance/pack/stage.ts [FOLDER]`, then `npm publish FOLDER`;
 * `dist/` here.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const folder = dirname(import.meta.dirname);
const root = dirname(folder);
const dist = process.argv[2] ?? join(folder, 'dist');

rmSync(dist, { recursive: true, force: true });
const project = join(folder, 'tsconfig.build.json');
const tsc = join(root, 'node_modules', '.bin', 'tsc');
execFileSync(tsc, ['-p', project, '--outDir', dist], { stdio: 'inherit' });
cpSync(join(folder, 'README.md'), join(dist, 'README.md'));
cpSync(join(root, 'LICENSE'), join(dist, 'LICENSE'));

const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
manifest.exports = { types: './index.d.ts', default: './index.js' };
manifest.bin = { 'onhand-idempotency-check': './main.js' };
writeFileSync(join(dist, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);

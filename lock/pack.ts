/**
 * Stages what is published, JavaScript and types, and packs it: `npm run pack -w lock [folder]`.
 *
 * In the repository the package is its TypeScript source; the tarball's package.json points to what
 * the compiler made of it.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
/** Read at run time, so they are copied as they are. */
const texts = ['redis', 'postgres'];

/** Compiles the package into an empty folder. */
export function stage(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const compiler = createRequire(import.meta.url).resolve('typescript/package.json');
  execFileSync(
    process.execPath,
    [join(dirname(compiler), 'bin', 'tsc'), '-p', 'tsconfig.build.json', '--outDir', folder],
    { cwd: here, stdio: 'inherit' },
  );
  for (const name of texts) {
    cpSync(join(here, name), join(folder, name), {
      recursive: true,
      filter: (path) => !/\.ts$/.test(path),
    });
  }
  cpSync(join(here, 'README.md'), join(folder, 'README.md'));
  cpSync(join(here, '..', 'LICENSE'), join(folder, 'LICENSE'));
  const manifest = published(JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Packs a staged folder. @returns the tarball */
export function pack(folder: string, into: string): string {
  const output = execFileSync('npm', ['pack', '--json', '--pack-destination', into], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const answer = JSON.parse(output);
  const [packed] = Array.isArray(answer) ? answer : Object.values(answer);
  return join(into, packed.filename);
}

function published(manifest: Record<string, unknown>): Record<string, unknown> {
  const { devDependencies: _, scripts: __, ...rest } = manifest;
  return {
    ...rest,
    exports: { '.': { types: './index.d.ts', default: './index.js' } },
    types: './index.d.ts',
    sideEffects: false,
  };
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(here, 'dist'));
  stage(folder);
  console.log(pack(folder, dirname(folder)));
}

import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './generated.ts';

/**
 * Which rooms a room may import from. Arrows run one way: http → pipeline → postgres → stock, and
 * the packages know nothing of the service. `inventory` is what starts the service and may take all
 * of it. A room that is not named may import anything, and nothing that is named imports it.
 */
const ALLOWED: Record<string, readonly string[]> = {
  'inventory/stock': ['inventory/stock'],
  'inventory/postgres': ['inventory/postgres', 'inventory/stock', 'idempotency'],
  'inventory/pipeline': [
    'inventory/pipeline',
    'inventory/postgres',
    'inventory/stock',
    'idempotency',
    'lock',
  ],
  'inventory/http': [
    'inventory/http',
    'inventory/pipeline',
    'inventory/postgres',
    'inventory/stock',
    'inventory/errors.ts',
    'inventory/version.ts',
    'idempotency',
    'lock',
  ],
  'inventory/runtime': ['inventory/runtime'],
  inventory: [
    'inventory',
    'inventory/http',
    'inventory/pipeline',
    'inventory/postgres',
    'inventory/stock',
    'inventory/runtime',
    'idempotency',
    'lock',
  ],
  idempotency: ['idempotency'],
  lock: ['lock'],
  conformance: ['conformance'],
};

/** What a room may take from Node or npm; rooms that are not named may take anything. */
const PACKAGES: Record<string, readonly string[]> = {
  'inventory/stock': ['node:crypto'],
};

const IMPORT = /^\s*(?:import|export)\b[^'"]*?from\s*['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]/gm;

/**
 * Every import against the allowed direction, one line each. Tests and their helpers may look
 * anywhere.
 */
export function checkImports(checkout = root): string[] {
  return Object.keys(ALLOWED).flatMap((room) =>
    globSync(`${room}/**/*.ts`, { cwd: checkout })
      .filter((file) => roomOf(file) === room && isProduction(file))
      .flatMap((file) => faultsOf(room, file, readFileSync(path.join(checkout, file), 'utf8'))),
  );
}

function isProduction(file: string): boolean {
  if (file.includes('node_modules') || /(^|\/)dist\//.test(file)) return false;
  return !/\.test\.ts$|(^|\/)(fixtures|examples|model|testing|suite)(\/|\.ts$)/.test(file);
}

function faultsOf(room: string, file: string, source: string): string[] {
  return [...source.matchAll(IMPORT)].flatMap((match) => {
    const specifier = (match[1] ?? match[2]) as string;
    const target = targetOf(file, specifier);
    const allowed = target === undefined ? PACKAGES[room] : ALLOWED[room];
    const names = target === undefined ? [specifier] : [target, roomOf(target)];
    if (allowed === undefined || names.some((name) => name && allowed.includes(name))) return [];
    return [`${file}: ${room} may not import ${specifier}`];
  });
}

/** The file, or the package, that a specifier leads to; undefined for Node's and npm's own. */
function targetOf(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('@onhand/')) return specifier.split('/')[1];
  if (!specifier.startsWith('.')) return undefined;
  return path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier));
}

/** The longest named room that holds a file, or is the package. */
function roomOf(file: string): string | undefined {
  return Object.keys(ALLOWED)
    .filter((room) => `${file}/`.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0];
}

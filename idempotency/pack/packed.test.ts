/**
 * Installs the packed tarball in an empty project and uses it there, on this Node (24) and on
 * Node 22, which comes from the npm registry.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const root = join(import.meta.dirname, '..', '..');
const project = mkdtempSync(join(tmpdir(), 'idempotency-packed-'));
const flags = ['--no-audit', '--no-fund', '--silent', '--ignore-scripts', '--prefer-offline'];
const npm = (...args: string[]) => execFileSync('npm', [...args, ...flags], { cwd: project });

const consumer = `
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { memoryClaims, parseIdempotencyKey } from '@onhand/idempotency';
import { expressIdempotency } from '@onhand/idempotency/express';
import { fastifyIdempotency } from '@onhand/idempotency/fastify';
import { honoIdempotency } from '@onhand/idempotency/hono';
import { nodeIdempotency } from '@onhand/idempotency/node';
import { findRecordsSql, migrate } from '@onhand/idempotency/postgres';

for (const part of [expressIdempotency, fastifyIdempotency, honoIdempotency, migrate]) {
  assert.equal(typeof part, 'function');
}
assert.equal(parseIdempotencyKey({ 'idempotency-key': '"k"' }), 'k');
assert.match(findRecordsSql, /idempotency_records/);
const table = import.meta.resolve('@onhand/idempotency/postgres/idempotency_records.sql');
assert.match(await readFile(fileURLToPath(table), 'utf8'), /CREATE TABLE/);
const created: string[] = [];
await migrate(async (sql: string) => {
  created.push(sql);
  return { rows: [{ present: false }] };
});
assert.ok(created.some((sql) => sql.includes('CREATE TABLE idempotency_records')));
let runs = 0;
const idempotency = nodeIdempotency({ singleTenant: true, claims: memoryClaims() });
const server = createServer(idempotency.protect((_req, res) => void res.end(String(++runs))));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const address = server.address() as { port: number };
const post = () =>
  fetch('http://127.0.0.1:' + address.port, { method: 'POST', headers: { 'idempotency-key': 'k' } });
assert.equal(await (await post()).text(), '1');
const again = await post();
assert.equal(await again.text(), '1');
assert.equal(again.headers.get('idempotent-replayed'), 'true');
server.close();
server.closeAllConnections();
await idempotency.close();
console.log('works on ' + process.version);
`;

before(() => {
  const staged = join(project, 'staged');
  execFileSync(process.execPath, [join(import.meta.dirname, 'stage.ts'), staged]);
  npm('pack', staged);
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  npm('install', './onhand-idempotency-0.1.0.tgz', `node-${process.platform}-${process.arch}@22`);
  writeFileSync(join(project, 'consumer.ts'), consumer);
  const strict = ['--module', 'nodenext', '--target', 'es2023', '--skipLibCheck', '--strict'];
  const types = ['--typeRoots', join(root, 'node_modules', '@types'), '--types', 'node'];
  // Fails on a type error, so the published declarations are checked as well.
  execFileSync(join(root, 'node_modules/.bin/tsc'), [...strict, ...types, 'consumer.ts'], {
    cwd: project,
    stdio: 'inherit',
  });
});
after(() => rmSync(project, { recursive: true, force: true }));

const node22 = join('node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
for (const [name, binary] of [
  ['this Node', process.execPath],
  ['Node 22', node22],
] as const) {
  test(`the packed package works on ${name}`, () => {
    const output = execFileSync(binary, ['consumer.js'], { cwd: project, encoding: 'utf8' });
    assert.match(output, name === 'Node 22' ? /works on v22/ : /works on v24/);
  });
}

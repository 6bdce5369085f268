/**
 * Installs the packed tarball in an empty project and runs its command, on this Node (24) and on
 * Node 22, which comes from the npm registry.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { BrokenServer } from '../broken/server.ts';

const project = mkdtempSync(join(tmpdir(), 'conformance-packed-'));
const flags = ['--no-audit', '--no-fund', '--silent', '--ignore-scripts', '--prefer-offline'];
const npm = (...args: string[]) => execFileSync('npm', [...args, ...flags], { cwd: project });
let server: BrokenServer;

before(async () => {
  const staged = join(project, 'staged');
  execFileSync(process.execPath, [join(import.meta.dirname, 'stage.ts'), staged]);
  npm('pack', staged);
  writeFileSync(join(project, 'package.json'), '{}');
  writeFileSync(join(project, 'body.json'), '{"reference":"PO-1","quantity":1}');
  const tarball = './onhand-idempotency-check-0.1.0.tgz';
  npm('install', tarball, `node-${process.platform}-${process.arch}@22`);
  server = await BrokenServer.start();
});
after(() => {
  server.stop();
  rmSync(project, { recursive: true, force: true });
});

const node22 = join('node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
for (const [name, binary] of [
  ['this Node', process.execPath],
  ['Node 22', join(project, node22)],
] as const) {
  test(`the packed command works on ${name}`, async () => {
    const command = join('node_modules', '.bin', 'onhand-idempotency-check');
    const args = [command, `${server.url}/things`, '--body', 'body.json', '--rate', '5000'];
    const { stdout } = await promisify(execFile)(binary, args, { cwd: project });
    assert.match(stdout, /, 0 failed, /);
  });
}

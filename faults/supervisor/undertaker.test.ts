import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { makeTestFolder, runScript, waitFor } from '@onhand/fixtures';

const script = (folder: string) => `
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { Undertaker } from '/faults/supervisor/undertaker.ts';
const undertaker = new Undertaker();
mkdirSync('${folder}/run/deep', { recursive: true });
undertaker.folder('${folder}/run');
const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
undertaker.process(child);
console.log(child.pid);
process.stdin.once('data', () => undertaker.bury().then(() => process.exit()));
`;

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('what a run started ends with it when the run is killed', async (t) => {
  const folder = makeTestFolder(t);
  const run = runScript(t, script(folder));
  const pid = Number(await run.nextLine());
  assert.ok(isAlive(pid) && existsSync(`${folder}/run`), run.errors());
  run.signal('SIGKILL');
  await run.ended;
  await waitFor('the process and the folder are gone', () => {
    return !isAlive(pid) && !existsSync(`${folder}/run`);
  });
});

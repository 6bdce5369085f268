import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { findRedisServer } from '../inventory/runtime/childRedis.ts';
import { runAutocannon } from './load/autocannon.ts';
import { findProgram, type Load } from './load/load.ts';
import { measure } from './measure/measure.ts';
import { type Rig, startRig } from './rig.ts';
import { chooseLoad } from './run.ts';
import { scenarios } from './scenarios.ts';
import { type Subjects, startSubjects } from './subjects/start.ts';
import type { Subject, SubjectName } from './subjects/subject.ts';

const left: readonly SubjectName[] = ['medusa', 'onhand-memory', 'onhand-4'];
const names = scenarios.flatMap(({ subjects }) => subjects).filter((name) => !left.includes(name));
// Enough to overlap, and little enough for two shared cores.
const connections = 8;

let rig: Rig;
let subjects: Subjects;
before(async () => {
  assert.ok(findRedisServer(), 'redis-server is on PATH');
  rig = await startRig();
  subjects = await startSubjects(rig, {
    names: new Set(names),
    replays: true,
    ledgerMovements: 100_000,
    say: () => {},
  });
});
after(async () => {
  await subjects?.stop();
  await rig?.stop();
});

const { run } = chooseLoad();
const isMeasured = new Map<SubjectName, number>();

function loadOf({ servers }: Subject, requests: Load['requests'], id: string): Load {
  const targets = servers.map(({ url }) => url);
  return { requests, targets, connections, seconds: 1, delayMs: 0, run: id, seed: 1 };
}

for (const scenario of scenarios) {
  // One subject each is enough where another scenario has the same requests.
  if (scenario.name.startsWith('connections') || scenario.name === 'idle') continue;
  const wanted = scenario.subjects.filter((name) => !left.includes(name) && isNew(name, scenario));

  test(`${scenario.name}: every subject answers with 2xx alone`, async () => {
    for (const name of wanted) {
      const subject = subjects.get(name);
      if (subject === undefined) continue;
      const load = loadOf(subject, scenario.requests, `smoke-${scenario.name}-${name}`);
      const { movements } = scenario;
      const sample = await measure(rig, subject, run, load, { round: 1, movements });
      const shown = `${name}: ${JSON.stringify(sample)}`;
      assert.ok(sample.answers > 0, shown);
      assert.equal(sample.refused + sample.broken, 0, shown);
      assert.ok(sample.p50 > 0 && sample.p50 <= sample.p99, shown);
      const already = isMeasured.get(name) ?? 0;
      isMeasured.set(name, already + sample.answers * movements);
    }
  });
}

/** wrk and autocannon make the same requests; the slow one is tried on what is hardest for it. */
test('autocannon gets 2xx alone, for reservations and batches too', async () => {
  const subject = subjects.get('onhand') as Subject;
  for (const kind of ['reservation', 'batch'] as const) {
    const requests = { kind, pick: 'zipf', lines: 1 } as const;
    const measured = await runAutocannon(loadOf(subject, requests, `cannon-${kind}`));
    assert.ok(measured.answers > 0);
    assert.equal(measured.refused + measured.broken, 0, JSON.stringify(measured));
  }
});

test('the books hold at least what was acknowledged, and are right', async () => {
  assert.equal(subjects.missing.length, findProgram('pgbench') === undefined ? 1 : 0);
  for (const { name, check } of subjects.all) {
    if (check === undefined) continue;
    const { movements } = await check();
    assert.ok(movements >= (isMeasured.get(name) ?? 0), `${name}: ${movements} movements`);
  }
});

const covered = new Set<string>();
function isNew(name: SubjectName, { requests }: (typeof scenarios)[number]): boolean {
  const what = `${name} ${requests.kind} ${requests.kind === 'receipt' ? '' : requests.pick}`;
  if (covered.has(what)) return false;
  covered.add(what);
  return true;
}

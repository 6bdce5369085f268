import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { findRedisServer } from '../inventory/runtime/childRedis.ts';
import { runAutocannon } from './load/autocannon.ts';
import { findProgram, type Load } from './load/load.ts';
import { measure } from './measure/measure.ts';
import { type Rig, startRig } from './rig.ts';
import { chooseLoad } from './run.ts';
import { type Scenario, scenarios } from './scenarios.ts';
import { type Subjects, startSubjects } from './subjects/start.ts';
import type { Subject, SubjectName } from './subjects/subject.ts';

const left: readonly SubjectName[] = [
  'medusa',
  'onhand-memory',
  'floor-memory',
  'floor-4',
  'onhand-4',
  'onhand-small',
];
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
    ledgerMovements: 10_000,
    say: () => {},
  });
});
after(async () => {
  await subjects?.stop();
  await rig?.stop();
});

const { run } = chooseLoad();
const acknowledged = new Map<SubjectName, number>();

function loadOf({ servers }: Subject, requests: Load['requests'], id: string): Load {
  const targets = servers.map(({ url }) => url);
  return { requests, targets, connections, seconds: 1, delayMs: 0, run: id, seed: 1 };
}

const covered = new Set<string>();
function isNew(name: SubjectName, { requests }: Scenario): boolean {
  const what = `${name} ${requests.kind} ${name === 'pgbench' ? requests.pick : ''}`;
  if (covered.has(what)) return false;
  covered.add(what);
  return true;
}

for (const scenario of scenarios) {
  // One subject each is enough where another scenario has the same requests.
  if (/^(connections|idle|hot)/.test(scenario.name)) continue;
  const wanted = scenario.subjects.filter((name) => !left.includes(name) && isNew(name, scenario));

  if (wanted.length === 0) continue;

  test(`${scenario.name}: ${wanted.join(', ')} answer with 2xx alone`, async () => {
    await Promise.all(wanted.map((name) => tryOut(scenario, name)));
  });
}

async function tryOut({ name, requests, movements }: Scenario, of: SubjectName): Promise<void> {
  const subject = subjects.get(of);
  if (subject === undefined) return;
  const load = loadOf(subject, requests, `smoke-${name}-${of}`);
  const sample = await measure(rig, subject, run, load, { round: 1, movements });
  const shown = `${of}: ${JSON.stringify(sample)}`;
  assert.ok(sample.answers > 0, shown);
  assert.equal(sample.refused + sample.broken, 0, shown);
  assert.ok(sample.p50 > 0 && sample.p50 <= sample.p99, shown);
  acknowledged.set(of, (acknowledged.get(of) ?? 0) + sample.answers * movements);
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
    assert.ok(movements >= (acknowledged.get(name) ?? 0), `${name}: ${movements} movements`);
  }
});

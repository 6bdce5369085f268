import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allFaultKinds } from './injection/catalogue.ts';
import { mutants } from './mutants/catalogue.ts';
import { hunt } from './mutants/hunt.ts';
import { run } from './run.ts';
import { mixedProfile } from './workload/profile.ts';

/** The same promise as in the long run; a busy test machine gets the same time. */
const settleWithinMs = 60_000;

test('under faults of every kind, nothing that was promised is broken', async () => {
  const { anomalies, operations, injected, outcomes } = await run({
    seed: 1,
    forMs: 30_000,
    roundMs: 15_000,
    services: 2,
    standby: true,
    kinds: allFaultKinds,
    profile: { ...mixedProfile, clients: 12 },
    patches: [],
    faultPauseMs: { min: 100, max: 900 },
    settleWithinMs,
  });
  assert.deepEqual(anomalies, []);
  // It was a run: commands took effect, some were refused, and things broke.
  assert.ok(operations >= 100, `${operations} operations`);
  assert.ok((outcomes['201'] ?? 0) >= 50, JSON.stringify(outcomes));
  assert.ok(injected.length >= 8, `${injected.length} faults`);
});

test('a service that clamps quantities is found out, and without it nothing is', async () => {
  const mutant = mutants.find(({ name }) => name === 'clamped-quantity');
  assert.ok(mutant);
  const { detected, by, sound } = await hunt(mutant, 1);
  assert.deepEqual({ detected, by, sound }, { detected: true, by: 'effect', sound: [] });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderOutcome } from '../http/answers.ts';
import { overdueMax } from '../postgres/loadContext.ts';
import { verifyLedger } from '../postgres/verifyLedger.ts';
import type { Command } from '../stock/commands.ts';
import {
  fateOf,
  type PipelineRig,
  pipelineRig,
  receipt,
  submission,
  tenant,
} from '../testing/pipelineRig.ts';
import { Preview } from './preview.ts';

/** More than two transactions give back, and a number that no other quantity here has. */
const holds = 2 * overdueMax + 345;

const lines = [{ product: 'A', quantity: holds }];
const shipment: Command = { type: 'shipment', warehouse: 'W1', lines };

/** As many reservations of one unit as there are units, all of which end at one instant. */
async function backlogged(rig: PipelineRig): Promise<void> {
  await rig.pipeline.submit(receipt('opening', 'A', holds));
  const one = [{ product: 'A', quantity: 1 }];
  const command: Command = { type: 'reservation', warehouse: 'W1', lines: one, ttlSeconds: 3_600 };
  await Promise.all(
    Array.from({ length: holds }, (_, n) => rig.pipeline.submit(submission(`r${n}`, command))),
  );
  await rig.session.query(`
    UPDATE reservations SET expires_at = now();
    UPDATE reservation_lines SET expires_at = now()`);
  rig.committed.length = 0;
}

test('more expired holds than one transaction takes are given back in parts, before the command', async (t) => {
  const rig = await pipelineRig(t);
  await backlogged(rig);
  assert.equal(await fateOf(rig.pipeline.submit(submission('k', shipment))), '201');
  assert.deepEqual(rig.committed, [0, 0, 1]);
  const { rows } = await rig.session.query('SELECT on_hand, reserved, sequence FROM levels');
  assert.deepEqual(rows, [{ on_hand: '0', reserved: '0', sequence: `${2 * holds + 2}` }]);
  const proof = await verifyLedger(rig.database.reads, tenant);
  assert.deepEqual(proof.faults, []);
  assert.equal(await fateOf(rig.pipeline.submit(submission('k', shipment))), '201 replayed');
});

test('a dry run behind them sees the units that they free, and writes nothing', async (t) => {
  const rig = await pipelineRig(t);
  await backlogged(rig);
  const preview = new Preview(rig.database, renderOutcome);
  const [answer] = await preview.decide(tenant, [shipment]);
  assert.equal(answer?.status, 201);
  const { movements } = JSON.parse(answer.body.toString());
  assert.partialDeepStrictEqual(movements, [{ onHand: 0, reserved: 0, available: 0 }]);
  const { rows } = await rig.session.query('SELECT reserved FROM levels');
  assert.deepEqual(rows, [{ reserved: `${holds}` }]);
});

test('a dry run behind them gives what a reservation held back once', async (t) => {
  const rig = await pipelineRig(t);
  await rig.pipeline.submit(receipt('own', 'A', 10));
  const ten = [{ product: 'A', quantity: 10 }];
  const made = await bodyOf(rig, { type: 'reservation', warehouse: 'W1', lines: ten });
  const four = [{ product: 'A', quantity: 4 }];
  const shipped = await bodyOf(rig, {
    type: 'reservation-ship',
    reservation: made.id,
    lines: four,
  });
  await backlogged(rig);
  const commands: Command[] = [
    { type: 'reversal', posting: shipped.posting.id, reason: 'a mistake' },
    { type: 'shipment', warehouse: 'W1', lines: [{ product: 'A', quantity: 1 }] },
  ];
  const answers = await new Preview(rig.database, renderOutcome).decide(tenant, commands);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [201, 201],
  );
  const { movements } = JSON.parse(answers.at(-1)?.body.toString() ?? '');
  assert.partialDeepStrictEqual(movements, [{ onHand: holds + 9, reserved: 0 }]);
});

async function bodyOf({ pipeline }: PipelineRig, command: Command) {
  const { record } = await pipeline.submit(submission(command.type, command));
  return JSON.parse(record.answer.body.toString());
}

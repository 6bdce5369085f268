import { createHash } from 'node:crypto';
import type { Catalogue } from '../workload/history.ts';
import type { Report } from './anomaly.ts';
import { levelKey } from './levels.ts';
import type { LevelRow, MovementRow, Snapshot } from './snapshot.ts';

const genesis = '0'.repeat(64);

/** Recomputes every level from its movements: sequences, sums, hash chain, and where it stands. */
export function checkLedger(snapshot: Snapshot, catalogue: Catalogue, report: Report): void {
  const levels = new Map(snapshot.levels.map((level) => [levelKey(level), level]));
  for (const [key, movements] of snapshot.movements) {
    const level = levels.get(key);
    if (level === undefined) report('ledger', `${key} has movements and no level`);
    else checkChain(key, movements, level, report);
    checkBounds(key, movements, catalogue, report);
  }
  for (const [key, level] of levels) {
    const isUnmoved = level.sequence === 0 && level.onHand === 0 && level.reserved === 0;
    if (!snapshot.movements.has(key) && !isUnmoved) {
      report('ledger', `${key} stands at ${level.onHand} without a movement`);
    }
  }
}

function checkChain(
  key: string,
  movements: readonly MovementRow[],
  level: LevelRow,
  report: Report,
): void {
  let onHand = 0;
  let reserved = 0;
  let hash = genesis;
  let recordedAt = 0;
  for (const [index, movement] of movements.entries()) {
    onHand += movement.onHandChange;
    reserved += movement.reservedChange;
    const at = `${key} at ${movement.sequence}`;
    if (movement.sequence !== index + 1) {
      report('ledger', `${at}: its place is ${index + 1}`);
      return;
    }
    if (movement.onHand !== onHand || movement.reserved !== reserved) {
      report('ledger', `${at}: the changes add up to ${onHand}/${reserved}`);
      return;
    }
    hash = createHash('sha256').update(chained(hash, movement)).digest('hex');
    if (movement.hash !== hash) {
      report('ledger', `${at}: the hash does not cover it and the one before`);
      return;
    }
    if (movement.recordedAt < recordedAt) {
      report('clock', `${at}: it is dated before the one before`);
      return;
    }
    recordedAt = movement.recordedAt;
  }
  const stands = `${level.sequence} ${level.onHand} ${level.reserved} ${level.hash}`;
  if (stands !== `${movements.length} ${onHand} ${reserved} ${hash}`) {
    report('ledger', `${key} stands elsewhere (${stands}) than its last movement`);
  }
}

/** The text that a hash covers, as docs/architecture.md has it under Data. */
function chained(before: string, m: MovementRow): string {
  const fields = [
    before,
    m.tenant,
    m.warehouse,
    m.product,
    m.sequence,
    m.posting,
    m.onHandChange,
    m.reservedChange,
    m.onHand,
    m.reserved,
    m.unitCost ?? '',
    m.recordedAt,
  ];
  return fields.join('|');
}

function checkBounds(
  key: string,
  movements: readonly MovementRow[],
  { backorderProducts }: Catalogue,
  report: Report,
): void {
  for (const { product, sequence, onHand, reserved } of movements) {
    const isShort = onHand < 0 || reserved > onHand;
    if (reserved < 0 || (isShort && !backorderProducts.includes(product))) {
      report('oversell', `${key} at ${sequence}: ${onHand} on hand, ${reserved} reserved`);
      return;
    }
  }
}

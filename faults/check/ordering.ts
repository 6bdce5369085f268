import type { Report } from './anomaly.ts';
import { levelKey } from './levels.ts';
import type { MovementRow, PostingRow } from './snapshot.ts';

/**
 * One total order of all postings that agrees with the sequences of every level.
 *
 * Taken by time, and held back while a level has an earlier movement to come. Postings that wait
 * for each other for ever are a cycle: no order explains the levels.
 */
export function* inOrder(
  postings: readonly PostingRow[],
  movementsOf: (posting: PostingRow) => readonly MovementRow[],
  report: Report,
): Generator<PostingRow> {
  const reached = new Map<string, number>();
  const heldBack = new Map<string, PostingRow[]>();
  let waiting = 0;
  for (const posting of postings) {
    const ready = [posting];
    for (let next = ready.shift(); next !== undefined; next = ready.shift()) {
      const obstacle = obstacleOf(movementsOf(next), reached);
      if (obstacle !== undefined) {
        const held = heldBack.get(obstacle) ?? [];
        heldBack.set(obstacle, [...held, next]);
        waiting += 1;
        continue;
      }
      yield next;
      for (const movement of movementsOf(next)) {
        const key = levelKey(movement);
        reached.set(key, Math.max(reached.get(key) ?? 0, movement.sequence));
        const freed = heldBack.get(`${key} ${movement.sequence}`) ?? [];
        heldBack.delete(`${key} ${movement.sequence}`);
        waiting -= freed.length;
        ready.push(...freed);
      }
    }
  }
  if (waiting > 0) {
    const ids = [...heldBack.values()].flat().map(({ id }) => id);
    report('order', `no order explains ${waiting} postings: ${ids.slice(0, 5).join(', ')}`);
  }
}

/** @returns the movement that must come before, as `level sequence`; undefined: none is missing */
function obstacleOf(
  movements: readonly MovementRow[],
  reached: ReadonlyMap<string, number>,
): string | undefined {
  const firsts = new Map<string, number>();
  for (const movement of movements) {
    const key = levelKey(movement);
    firsts.set(key, Math.min(firsts.get(key) ?? Infinity, movement.sequence));
  }
  for (const [key, first] of firsts) {
    if (first !== (reached.get(key) ?? 0) + 1) return `${key} ${first - 1}`;
  }
  return undefined;
}

import { codeOf, type History, type LevelRead } from '../workload/history.ts';
import type { Report } from './anomaly.ts';
import type { Fate } from './clients.ts';
import { levelKey } from './levels.ts';
import { clockToleranceMs } from './replay.ts';
import type { MovementRow, Snapshot } from './snapshot.ts';
import { type Bounds, Timeline, unbounded } from './timeline.ts';
import type { World } from './world.ts';

/** The levels of a run with all that was observed of them. */
export class Levels {
  readonly #movements: ReadonlyMap<string, readonly MovementRow[]>;
  readonly #timelines = new Map<string, Timeline>();
  readonly #world: World;

  constructor(snapshot: Snapshot, fates: ReadonlyMap<string, Fate>, world: World) {
    this.#movements = snapshot.movements;
    this.#world = world;
    const boundsOf = (movement: MovementRow): Bounds => {
      const fate = fates.get(world.postings.get(movement.posting)?.reference ?? '');
      const sentAt = fate?.operation.attempts[0]?.sentAt;
      if (fate === undefined || sentAt === undefined) return unbounded;
      return { sentAt, ackAt: fate.answers[0]?.at ?? Infinity };
    };
    for (const [key, movements] of snapshot.movements) {
      this.#timelines.set(key, new Timeline(movements.map(boundsOf)));
    }
  }

  timeline(key: string): Timeline {
    let timeline = this.#timelines.get(key);
    if (timeline === undefined) {
      timeline = new Timeline([]);
      this.#timelines.set(key, timeline);
    }
    return timeline;
  }

  checkOrder(report: Report): void {
    for (const [key, timeline] of this.#timelines) timeline.checkOrder(key, report);
  }

  at(key: string, sequence: number): { onHand: number; reserved: number } {
    return this.#movements.get(key)?.[sequence - 1] ?? { onHand: 0, reserved: 0 };
  }

  /**
   * Units on a level, in one of its states, that are held by reservations which have expired by an
   * instant: `surely` whatever extension is counted, `perhaps` if the most favourable is.
   */
  overdue(
    key: string,
    sequence: number,
    sentWall: number,
    wall: number,
  ): { surely: number; perhaps: number } {
    const held = new Map<string, number>();
    for (const movement of this.#movements.get(key)?.slice(0, sequence) ?? []) {
      const { reservation } = this.#world.postings.get(movement.posting) ?? {};
      if (reservation == null || movement.reservedChange === 0) continue;
      held.set(reservation, (held.get(reservation) ?? 0) + movement.reservedChange);
    }
    let surely = 0;
    let perhaps = 0;
    for (const [id, units] of held) {
      const reservation = this.#world.reservations.get(id);
      if (reservation === undefined) continue;
      if (reservation.latest < sentWall - clockToleranceMs) surely += units;
      if (reservation.earliest <= wall + clockToleranceMs) perhaps += units;
    }
    return { surely, perhaps };
  }
}

/** A time in which a primary was up that showed commits no standby had, and was lost with them. */
export interface Lost {
  readonly from: number;
  readonly until: number;
}

/**
 * Every read shows a state that the level had while it was under way. Reads wait for no standby:
 * those that a lost primary may have answered are left out.
 */
export function checkReads(
  history: History,
  levels: Levels,
  lost: readonly Lost[],
  report: Report,
): void {
  const reads = history.reads.filter(
    ({ sentAt, at }) => !lost.some(({ from, until }) => sentAt < until && at > from),
  );
  for (const read of reads) levels.timeline(levelKey(read)).observe(read.at, read.sequence);
  for (const read of reads) checkRead(read, levels, report);
}

function checkRead(read: LevelRead, levels: Levels, report: Report): void {
  const key = levelKey(read);
  const timeline = levels.timeline(key);
  const { sequence, onHand, reserved, available, etag, sentAt, at } = read;
  const [floor, ceiling] = [timeline.floor(sentAt), timeline.ceiling(at)];
  if (sequence < floor || sequence > ceiling) {
    report('read', `${key} was read at ${sequence}, when it was between ${floor} and ${ceiling}`);
    return;
  }
  const state = levels.at(key, sequence);
  const { surely, perhaps } = levels.overdue(key, sequence, read.sentWall, read.wall);
  const isRight =
    onHand === state.onHand &&
    available === onHand - reserved &&
    (etag === undefined || etag === `"${sequence}"`) &&
    reserved <= state.reserved - surely &&
    reserved >= state.reserved - perhaps;
  if (!isRight) {
    const right = `${state.onHand}/${state.reserved} less ${surely} to ${perhaps} overdue`;
    report(
      'read',
      `${key} was read as ${onHand}/${reserved}/${available} at ${sequence} (${etag}), which had ${right}`,
    );
  }
}

/** The code of an operation's refusal; undefined when it was not refused. */
export function refusalOf({ answers }: Fate): string | undefined {
  const answer = answers[0];
  return answer === undefined || answer.status < 400 ? undefined : codeOf(answer.body);
}

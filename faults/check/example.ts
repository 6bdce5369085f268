import { createHash } from 'node:crypto';
import type {
  Answer,
  Attempt,
  Command,
  History,
  LevelRead,
  Operation,
} from '../workload/history.ts';
import type {
  LevelRow,
  MovementRow,
  PostingRow,
  RecordRow,
  ReservationLine,
  ReservationRow,
} from './snapshot.ts';

/** A snapshot that a test may bend. */
export interface Bendable {
  postings: PostingRow[];
  movements: Map<string, MovementRow[]>;
  levels: LevelRow[];
  reservations: BendableReservation[];
  records: RecordRow[];
}

type BendableReservation = Writable<Omit<ReservationRow, 'lines'>> & {
  lines: Record<string, Writable<ReservationLine>>;
};

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const zeros = '0'.repeat(64);

const retentionMs = 86_400_000;

/**
 * A short history in which everything is right, with the database that belongs to it: tests bend
 * one thing of it and expect the check to notice. Instant `n` is at `n` ms and `start + n` of the
 * clock.
 */
export class Example {
  readonly start = 1_700_000_000_000;
  readonly history: Writable<History> = {
    catalogue: { warehouses: ['W1', 'W2'], products: ['P1', 'P2'], backorderProducts: [] },
    tenants: ['north', 'south'],
    operations: [],
    reads: [],
    invalid: [],
    unwelcome: [],
    probes: [],
  };
  readonly snapshot: Bendable = {
    postings: [],
    movements: new Map(),
    levels: [],
    reservations: [],
    records: [],
  };
  #serial = 0;

  /** A command sent at `at` and acknowledged 8 ms later, recorded in between. */
  post(
    at: number,
    command: Command,
    changes: [product: string, onHand: number, reserved: number][],
  ) {
    const reverses = command.type === 'reversal' ? command.posting : null;
    const reservation = this.#reservationOf(command);
    const operation = this.operation(command);
    const { type } = command;
    const more = { type, reference: operation.id, reservation, reverses };
    const posting = this.posting(at + 4, more);
    if (type === 'reservation') this.#reserve(posting);
    const held = this.reservation(reservation);
    if (held && 'ttlSeconds' in command) {
      held.expiresAt = posting.recordedAt + (command.ttlSeconds ?? 0) * 1000;
    }
    const movements = changes.map(([product, onHand, reserved]) =>
      this.move(posting, product, onHand, reserved),
    );
    const isOfReservation = held !== undefined && type !== 'reversal';
    const body = isOfReservation
      ? reservationBody(held, posting, movements)
      : postingBody(posting, movements);
    const answer = this.answer(operation, at, 201, JSON.stringify(body));
    const place = isOfReservation ? `reservations/${reservation}` : `postings/${posting.id}`;
    answer.headers = `/v1/${place} application/json -`;
    return { operation, posting, movements, answer };
  }

  #reservationOf(command: Command): string | null {
    if (command.type === 'reservation') return this.#id('r');
    if ('reservation' in command) return command.reservation;
    if (command.type !== 'reversal') return null;
    const original = this.snapshot.postings.find(({ id }) => id === command.posting);
    return original?.reservation ?? null;
  }

  #reserve({ tenant, reservation }: PostingRow): void {
    const row = { tenant, id: reservation ?? '', expiresAt: null, closed: false, lines: {} };
    this.snapshot.reservations.push(row);
  }

  reservation(id: string | null): BendableReservation | undefined {
    return this.snapshot.reservations.find((row) => row.id === id);
  }

  /** A command sent at `at` and refused 8 ms later. */
  refuse(at: number, command: Command, status: number, problem: Record<string, unknown>) {
    const operation = this.operation(command);
    return { operation, answer: this.answer(operation, at, status, JSON.stringify(problem)) };
  }

  operation(command: Command, more: Partial<Operation> = {}): Operation {
    const id = this.#id('north/');
    const operation = {
      id,
      tenant: 'north',
      key: id,
      command,
      path: '',
      body: {},
      abandoned: false,
    };
    this.history.operations.push({ ...operation, attempts: [], ...more });
    return this.history.operations.at(-1) as Operation;
  }

  /** An attempt at `at` with its answer, which is also recorded. */
  answer(operation: Operation, at: number, status: number, body: string): Writable<Answer> {
    const answer = { at: at + 8, wall: this.start + at + 8, status, body, headers: 'h' };
    operation.attempts.push({ ...this.sent(at), answer });
    const { tenant, key } = operation;
    const known = this.snapshot.records.some((row) => row.key === key);
    if (!known) this.snapshot.records.push({ tenant, key, status, body, keptMs: retentionMs });
    return answer;
  }

  sent(at: number): Attempt {
    return { instance: 0, sentAt: at, sentWall: this.start + at };
  }

  read(
    at: number,
    sequence: number,
    onHand: number,
    reserved: number,
    more: Partial<LevelRead> = {},
  ): void {
    this.history.reads.push({
      tenant: 'north',
      warehouse: 'W1',
      product: 'P1',
      sentAt: at,
      at: at + 2,
      sentWall: this.start + at,
      wall: this.start + at + 2,
      onHand,
      reserved,
      available: onHand - reserved,
      sequence,
      etag: `"${sequence}"`,
      ...more,
    });
  }

  posting(at: number, more: Partial<PostingRow>): PostingRow {
    const posting = {
      tenant: 'north',
      id: this.#id('p'),
      type: 'receipt',
      reference: null,
      reservation: null,
      reverses: null,
      recordedAt: this.start + at,
      ...more,
    };
    this.snapshot.postings.push(posting);
    return posting;
  }

  /** The next movement of a level in W1, chained; the level and the reservation follow. */
  move(posting: PostingRow, product: string, onHandChange: number, reservedChange: number) {
    const key = `${posting.tenant}|W1|${product}`;
    const movements = this.snapshot.movements.get(key) ?? [];
    const last = movements.at(-1) ?? { onHand: 0, reserved: 0, sequence: 0, hash: zeros };
    const { tenant, recordedAt } = posting;
    const movement = {
      tenant,
      warehouse: 'W1',
      product,
      sequence: last.sequence + 1,
      posting: posting.id,
      onHandChange,
      reservedChange,
      onHand: last.onHand + onHandChange,
      reserved: last.reserved + reservedChange,
      unitCost: null,
      recordedAt,
      hash: '',
    };
    movement.hash = hashOf(last.hash, movement);
    this.snapshot.movements.set(key, [...movements, movement]);
    this.snapshot.levels = this.snapshot.levels.filter((level) => level.product !== product);
    this.snapshot.levels.push({ ...movement });
    const held = this.reservation(posting.reservation);
    if (held) moveHeld(held, posting.type, movement);
    return movement as Writable<MovementRow>;
  }

  #id(prefix: string): string {
    this.#serial += 1;
    return `${prefix}${this.#serial}`;
  }
}

function hashOf(before: string, m: MovementRow): string {
  const own = [m.tenant, m.warehouse, m.product, m.sequence, m.posting, m.onHandChange];
  const rest = [m.reservedChange, m.onHand, m.reserved, m.unitCost ?? '', m.recordedAt];
  return createHash('sha256')
    .update([before, ...own, ...rest].join('|'))
    .digest('hex');
}

function moveHeld(held: BendableReservation, type: string, movement: MovementRow): void {
  const { product, onHandChange, reservedChange } = movement;
  const line = held.lines[product] ?? { held: 0, shipped: 0, released: 0, expired: 0 };
  held.lines[product] = line;
  line.held += reservedChange;
  if (type === 'expiry') line.expired -= reservedChange;
  else if (onHandChange !== 0) line.shipped -= reservedChange;
  else if (type !== 'reservation') line.released -= reservedChange;
  held.closed = Object.values(held.lines).every((each) => each.held === 0 && each.expired === 0);
}

function postingBody(posting: PostingRow, movements: readonly MovementRow[]) {
  const { tenant: _, reservation, reverses, recordedAt, ...rest } = posting;
  return {
    ...rest,
    ...(reservation === null ? {} : { reservation }),
    ...(reverses === null ? {} : { reverses }),
    recordedAt: new Date(recordedAt).toISOString(),
    movements: movements.map((movement) => {
      return { ...movement, available: movement.onHand - movement.reserved };
    }),
  };
}

function reservationBody(
  { id, closed, expiresAt, lines }: BendableReservation,
  posting: PostingRow,
  movements: readonly MovementRow[],
) {
  return {
    id,
    status: closed ? 'closed' : 'active',
    warehouse: 'W1',
    expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
    lines: Object.entries(lines).map(([product, { held, shipped, released, expired }]) => {
      return { product, quantity: held + shipped + released + expired, shipped, released };
    }),
    posting: postingBody(posting, movements),
  };
}

import { createHash } from 'node:crypto';
import type { Answer, Attempt, Command, History, Operation } from '../workload/history.ts';
import type { LevelRow, MovementRow, PostingRow, RecordRow, ReservationRow } from './snapshot.ts';

/** A snapshot that a test may bend. */
export interface Bendable {
  postings: PostingRow[];
  movements: Map<string, MovementRow[]>;
  levels: LevelRow[];
  reservations: ReservationRow[];
  records: RecordRow[];
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const zeros = '0'.repeat(64);

/**
 * A short history in which everything is right, with the database that belongs to it: tests bend one
 * thing of it and expect the check to notice. Instant `n` is at `n` ms and `start + n` of the clock.
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
    const reservation = command.type === 'reservation' ? this.#id('r') : undefined;
    const operation = this.operation(command);
    const posting = this.posting(at + 4, {
      type: command.type,
      reference: operation.id,
      ...(reservation === undefined ? {} : { reservation }),
    });
    const movements = changes.map(([product, onHand, reserved]) =>
      this.move(posting, product, onHand, reserved),
    );
    const recordedAt = new Date(posting.recordedAt).toISOString();
    const inner = { id: posting.id, recordedAt, movements };
    const body = reservation === undefined ? inner : { id: reservation, posting: inner };
    const answer = this.answer(operation, at, 201, JSON.stringify(body));
    return { operation, posting, movements, answer };
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
    if (!known) this.snapshot.records.push({ tenant, key, status, body });
    return answer;
  }

  sent(at: number): Attempt {
    return { instance: 0, sentAt: at, sentWall: this.start + at };
  }

  read(at: number, sequence: number, onHand: number, reserved: number): void {
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
      sequence,
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

  /** The next movement of a level in W1, chained; the level follows. */
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

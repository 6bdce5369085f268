import type { Report } from './anomaly.ts';
import type { Fate } from './clients.ts';
import type { MovementRow, PostingRow } from './snapshot.ts';
import { type Held, isClosed, unitsHeld } from './world.ts';

interface PostingBody {
  readonly id: string;
  readonly type: string;
  readonly reference: string;
  readonly recordedAt: string;
  readonly movements: readonly (Shown & { readonly available: number })[];
  readonly reservation?: string;
  readonly reverses?: string;
}

type Shown = Omit<MovementRow, 'tenant' | 'posting' | 'hash' | 'recordedAt' | 'unitCost'>;

interface ReservationBody {
  readonly id: string;
  readonly status: string;
  readonly warehouse: string;
  readonly expiresAt: string | null;
  readonly lines: readonly {
    readonly product: string;
    readonly quantity: number;
    readonly shipped: number;
    readonly released: number;
  }[];
  readonly posting: PostingBody;
}

/**
 * The answer says what was posted and where it is, no more and no less.
 * @param held the reservation that the posting belongs to, as it leaves it
 */
export function checkAnswer(
  posting: PostingRow,
  movements: readonly MovementRow[],
  held: Held | undefined,
  fate: Fate | undefined,
  report: Report,
): void {
  const answer = fate?.answers[0];
  if (fate === undefined || answer?.status !== 201) return;
  const body = JSON.parse(answer.body) as PostingBody | ReservationBody;
  // The commands of reservations are answered with one; a reversal, with a posting.
  const isOfReservation = posting.type.startsWith('reservation');
  const isRight =
    isOfReservation && held !== undefined && 'posting' in body
      ? isReservation(body, held) && isPosting(body.posting, posting, movements)
      : !isOfReservation && !('posting' in body) && isPosting(body, posting, movements);
  if (!isRight) report('exactly-once', `${posting.reference} was answered ${answer.body}`);
  const place = isOfReservation
    ? `/v1/reservations/${posting.reservation}`
    : `/v1/postings/${posting.id}`;
  const headers = fate.answers.find((each) => each.headers !== undefined)?.headers;
  if (headers !== undefined && headers.split(' ')[0] !== place) {
    report('exactly-once', `${posting.reference} was said to be at ${headers}, not ${place}`);
  }
}

function isPosting(
  said: PostingBody,
  posting: PostingRow,
  movements: readonly MovementRow[],
): boolean {
  const right = movements.map((m) => lineOf(m, m.onHand - m.reserved));
  return (
    said.id === posting.id &&
    said.type === posting.type &&
    said.reference === posting.reference &&
    (said.reservation ?? null) === posting.reservation &&
    (said.reverses ?? null) === posting.reverses &&
    Date.parse(said.recordedAt) === posting.recordedAt &&
    isSame(
      said.movements.map((m) => lineOf(m, m.available)),
      right,
    )
  );
}

function lineOf(m: Shown, available: number): string {
  const { warehouse, product, sequence, onHandChange, reservedChange, onHand, reserved } = m;
  const numbers = [sequence, onHandChange, reservedChange, onHand, reserved, available];
  return `${warehouse} ${product} ${numbers.join(' ')}`;
}

/** What is held is not said: it is the quantity without what was shipped and released. */
function isReservation(said: ReservationBody, held: Held): boolean {
  const expiresAt = said.expiresAt === null ? null : Date.parse(said.expiresAt);
  const right = [...held.counts].map(([product, { shipped, released, expired }]) => {
    const quantity = unitsHeld(held, product) + shipped + released + expired;
    return [product, quantity, shipped, released].join(' ');
  });
  return (
    said.id === held.id &&
    said.warehouse === held.warehouse &&
    said.status === (isClosed(held) ? 'closed' : 'active') &&
    expiresAt === held.expiresAt &&
    isSame(
      said.lines.map((line) =>
        [line.product, line.quantity, line.shipped, line.released].join(' '),
      ),
      right,
    )
  );
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.toSorted().join() === others.toSorted().join();
}

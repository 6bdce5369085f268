import type { Answer, Command, History } from '../workload/history.ts';
import type { Report } from './anomaly.ts';
import type { Fate } from './clients.ts';
import { levelKey } from './levels.ts';
import { type Levels, refusalOf } from './observations.ts';
import { clockToleranceMs } from './replay.ts';
import { countOf, type World } from './world.ts';

interface Case {
  readonly fate: Fate;
  readonly command: Command;
  readonly answer: Answer;
  readonly body: Problem;
  readonly world: World;
  readonly levels: Levels;
  readonly history: History;
}

interface Problem {
  readonly lines?: ShortLine[];
  readonly levels?: { warehouse: string; product: string; onHand: number; sequence: number }[];
  readonly reversal?: string;
}

interface ShortLine {
  readonly warehouse: string;
  readonly product: string;
  readonly requested: number;
  readonly available: number;
}

/** @returns what is wrong with the refusal; undefined: nothing */
type Judge = (refused: Case) => string | undefined;

const judges: Record<string, Judge> = {
  'insufficient-stock': judgeShort,
  'stock-changed': judgeChanged,
  'unknown-product': ({ command, history }) =>
    'lines' in command && command.lines?.some((line) => !isKnown(history, line.product))
      ? undefined
      : `every product of ${JSON.stringify(command)} is registered`,
  'not-found': judgeNotFound,
  'reservation-expired': judgeExpired,
  'reservation-closed': judgeClosed,
  'already-reversed': ({ command, body, world }) =>
    command.type === 'reversal' && world.reversed.get(command.posting) === body.reversal
      ? undefined
      : `${body.reversal} did not reverse it`,
  'validation-failed': judgeInvalid,
};

/** Every refusal was right in some state between its request and its answer. */
export function checkRefusals(
  history: History,
  fates: ReadonlyMap<string, Fate>,
  world: World,
  levels: Levels,
  report: Report,
): void {
  for (const fate of fates.values()) {
    const code = refusalOf(fate);
    const answer = fate.answers[0];
    if (code === undefined || answer === undefined) continue;
    const judge = judges[code];
    const body = JSON.parse(answer.body) as Problem;
    const { command } = fate.operation;
    const wrong =
      judge === undefined
        ? `nothing in this workload deserves it: ${answer.body}`
        : judge({ fate, command, answer, body, world, levels, history });
    if (wrong !== undefined) report('refusal', `${fate.operation.id} ${code}: ${wrong}`);
  }
}

function isKnown({ catalogue }: History, product: string): boolean {
  return catalogue.products.includes(product);
}

function judgeShort(refused: Case): string | undefined {
  const { lines = [] } = refused.body;
  if (lines.length === 0) return 'no line is named';
  for (const line of lines) {
    if (line.available >= line.requested) return `${line.available} are enough for ${line.product}`;
    const asked = askedOf(refused.command, line.product);
    if (asked !== undefined && asked !== line.requested) {
      return `${asked} of ${line.product} were asked for, not ${line.requested}`;
    }
    const wrong = isOfHeld(refused, line) ? undefined : judgeLine(refused, line);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

/** Units of a product that a command asks for; undefined where that depends on the state. */
function askedOf(command: Command, product: string): number | undefined {
  if (command.type === 'count' || !('lines' in command)) return undefined;
  return command.lines
    ?.filter((line) => line.product === product)
    .reduce((sum, line) => sum + ('change' in line ? -line.change : line.quantity), 0);
}

/** More than a reservation holds is short too, or than was taken from it: to reverse that. */
function isOfHeld(refused: Case, { product, available }: ShortLine): boolean {
  const { command, world } = refused;
  const held = reservationOf(refused);
  if (command.type === 'reservation' || held === undefined) return false;
  let kind = 'held';
  if (command.type === 'reversal') {
    const movement = world.movements.get(command.posting)?.find((m) => m.product === product);
    const { reservedChange = 0, onHandChange = 0 } = movement ?? {};
    if (reservedChange < 0) kind = countOf(command.type, onHandChange);
  }
  return held.seen.get(`${kind} ${product}`)?.has(available) ?? available === 0;
}

function judgeLine(
  { fate, command, answer, history, levels }: Case,
  line: ShortLine,
): string | undefined {
  if ('reservation' in command) return `the reservation never had ${line.available}`;
  if (history.catalogue.backorderProducts.includes(line.product)) {
    return `${line.product} may be sold below zero`;
  }
  const { tenant, attempts } = fate.operation;
  const key = levelKey({ tenant, ...line });
  const sent = attempts[0];
  if (sent === undefined) return 'it was never sent';
  const timeline = levels.timeline(key);
  const [floor, ceiling] = [timeline.floor(sent.sentAt), timeline.ceiling(answer.at)];
  for (let sequence = floor; sequence <= ceiling; sequence++) {
    const { onHand, reserved } = levels.at(key, sequence);
    const isShown = onHand - reserved === line.available || onHand === line.available;
    if (!isShown) continue;
    // Expired units are available to the next command.
    const { surely } = levels.overdue(key, sequence, sent.sentWall, answer.wall);
    if (surely === 0) return undefined;
  }
  return `${line.available} were never available of ${key} from ${floor} to ${ceiling}`;
}

function judgeChanged({ fate, answer, body, command, levels }: Case): string | undefined {
  const { tenant, attempts } = fate.operation;
  if (command.type !== 'count') return 'it expected nothing';
  const { levels: changed = [] } = body;
  if (changed.length === 0) return 'no level is named';
  for (const level of changed) {
    const key = levelKey({ tenant, ...level });
    const timeline = levels.timeline(key);
    const floor = timeline.floor(attempts[0]?.sentAt ?? 0);
    if (level.sequence < floor || level.sequence > timeline.ceiling(answer.at)) {
      return `${key} was not at ${level.sequence} then`;
    }
    if (levels.at(key, level.sequence).onHand !== level.onHand) {
      return `${key} had not ${level.onHand} at ${level.sequence}`;
    }
    const line = command.lines.find(({ product }) => product === level.product);
    const asExpected =
      (line?.expectedOnHand ?? level.onHand) === level.onHand &&
      (line?.expectedSequence ?? level.sequence) === level.sequence;
    if (asExpected) return `${key} was as expected`;
  }
  return undefined;
}

function judgeNotFound({ fate, command, world }: Case): string | undefined {
  const { tenant } = fate.operation;
  if ('reservation' in command) {
    const held = world.reservations.get(command.reservation);
    return held?.tenant === tenant ? 'there is such a reservation' : undefined;
  }
  if (command.type === 'reversal') {
    const posting = world.postings.get(command.posting);
    return posting?.tenant === tenant ? 'there is such a posting' : undefined;
  }
  return 'it names nothing that could be missing';
}

/** The reservation that a command names, or that the posting it reverses belongs to. */
function reservationOf({ command, world }: Case) {
  const id =
    'reservation' in command
      ? command.reservation
      : command.type === 'reversal'
        ? world.postings.get(command.posting)?.reservation
        : undefined;
  return world.reservations.get(id ?? '');
}

function judgeExpired(refused: Case): string | undefined {
  const held = reservationOf(refused);
  if (held === undefined) return 'it names no reservation';
  const { wall } = refused.answer;
  return held.earliest > wall + clockToleranceMs
    ? `reservation ${held.id} expires at ${held.earliest}, answered at ${wall}`
    : undefined;
}

function judgeClosed(refused: Case): string | undefined {
  const held = reservationOf(refused);
  if (held === undefined) return 'it names no reservation';
  const { emptiedAt = Infinity } = held;
  return emptiedAt > refused.answer.wall + clockToleranceMs
    ? `reservation ${held.id} held units until ${emptiedAt}`
    : undefined;
}

/** An extension to no later instant, or the reversal of an extension. */
function judgeInvalid({ fate, command, world }: Case): string | undefined {
  if (command.type === 'reversal') {
    const { type } = world.postings.get(command.posting) ?? {};
    return type === 'reservation-extend' ? undefined : `a ${type} can be reversed`;
  }
  if (command.type !== 'reservation-extend') return 'the command is valid';
  const latest = world.reservations.get(command.reservation)?.latest ?? 0;
  const sent = fate.operation.attempts[0]?.sentWall ?? 0;
  return sent + command.ttlSeconds * 1000 > latest + clockToleranceMs
    ? `${command.ttlSeconds} s from ${sent} are later than ${latest}`
    : undefined;
}

import type { Answer, Command, History } from '../workload/history.ts';
import type { Report } from './anomaly.ts';
import type { Fate } from './clients.ts';
import { levelKey } from './levels.ts';
import { type Levels, refusalOf } from './observations.ts';
import { clockToleranceMs } from './replay.ts';
import type { World } from './world.ts';

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
  // An extension to an earlier instant, or the reversal of an extension.
  'validation-failed': ({ command }) =>
    command.type === 'reservation-extend' || command.type === 'reversal'
      ? undefined
      : 'the command is valid',
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
    const wrong = isOfReservation(refused) ? undefined : judgeLine(refused, line);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

/** More than a reservation holds is short too; what it held is not a state of a level. */
function isOfReservation(refused: Case): boolean {
  const { type } = refused.command;
  return type !== 'reservation' && reservationOf(refused) !== undefined;
}

function judgeLine({ fate, answer, levels }: Case, line: ShortLine): string | undefined {
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
  for (const level of body.levels ?? []) {
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
  if (refused.command.type === 'reversal') return undefined;
  const { emptiedAt = Infinity } = held;
  return emptiedAt > refused.answer.wall + clockToleranceMs
    ? `reservation ${held.id} held units until ${emptiedAt}`
    : undefined;
}

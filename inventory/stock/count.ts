/** Counts: `onHand` becomes what was found on the shelf. A count that finds no difference is a
 * movement of 0 all the same, for it says that the level was looked at. */

import { levelOf, refuseUnknown } from './catalogue.ts';
import { changeOf, refuseChanges } from './changes.ts';
import type { CountCommand, CountLine } from './commands.ts';
import { type CurrentLevel, type FieldError, type Outcome, refuse } from './outcomes.ts';
import { type Context, postingOf } from './posting.ts';
import { subtract } from './quantity.ts';
import type { Level, Stock } from './stock.ts';

export function decideCount(stock: Stock, command: CountCommand, context: Context): Outcome {
  const unknown = refuseUnknown(stock, [command.warehouse], command.lines);
  if (unknown) return unknown;
  const errors = repeatedProducts(command.lines);
  if (errors.length > 0) return refuse({ code: 'validation-failed', errors });
  const counted = command.lines.map((line) => {
    return { line, level: levelOf(stock, command.warehouse, line.product) };
  });
  const stale = counted.filter(({ line, level }) => !meetsExpectation(line, level));
  if (stale.length > 0) {
    return refuse({ code: 'stock-changed', levels: stale.map(({ level }) => currentLevel(level)) });
  }
  const changes = counted.map(({ line, level }) =>
    changeOf(level, subtract(line.counted, level.onHand), 0),
  );
  const refused = refuseChanges(stock, changes);
  if (refused) return refused;
  return { posted: true, posting: postingOf(stock, context, command, command, changes) };
}

/**
 * Two counts of one product contradict each other or say the same twice. HTTP refuses this earlier,
 * before the key is claimed; the check here is for other callers.
 */
function repeatedProducts(lines: readonly CountLine[]): FieldError[] {
  const seen = new Set<string>();
  const errors: FieldError[] = [];
  for (const [index, { product }] of lines.entries()) {
    if (seen.has(product)) {
      const detail = `${product} is counted twice`;
      errors.push({ path: `$.lines[${index}].product`, detail });
    }
    seen.add(product);
  }
  return errors;
}

/** Expiries that are booked just now do not count: they were over when the level was read. */
function meetsExpectation(line: CountLine, level: Level): boolean {
  const { expectedOnHand = level.onHand, expectedSequence = level.sequence } = line;
  return (
    expectedOnHand === level.onHand &&
    (expectedSequence === level.sequence || expectedSequence === level.sequenceShown)
  );
}

function currentLevel(level: Level): CurrentLevel {
  const { warehouse, product, onHand, reserved, sequence } = level;
  return { warehouse, product, onHand, reserved, available: onHand - reserved, sequence };
}

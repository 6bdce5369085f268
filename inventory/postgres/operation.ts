import type pg from 'pg';
import type { Transaction } from './transaction.ts';

/** A statement with a prepared name, and how its parameters are made from an input. */
export interface Operation<Input> {
  readonly name: string;
  /** Parameters are `$1`, `$2`, … without a gap. */
  readonly text: string;
  values(input: Input): unknown[];
}

/**
 * One statement for several writes, none of which returns anything: each is a CTE, the last one the
 * statement itself. It saves their way through the protocol and the executor, which for a batch of
 * one is most of their cost.
 *
 * All of them see one snapshot and none sees what another wrote (manual, 7.8.4).
 */
export function together<Input>(
  name: string,
  operations: readonly Operation<Input>[],
): Operation<Input> {
  let used = 0;
  const texts = operations.map(({ text }) => {
    const offset = used;
    return text.replace(/\$(\d+)/g, (_, n) => {
      used = Math.max(used, offset + Number(n));
      return `$${offset + Number(n)}`;
    });
  });
  const last = texts.pop();
  const parts = texts.map((text, index) => `part_${index} AS (${text})`);
  return {
    name,
    text: `WITH ${parts.join(', ')} ${last}`,
    values: (input) => operations.flatMap((operation) => operation.values(input)),
  };
}

export async function run<Input>(
  transaction: Transaction,
  { name, text, values }: Operation<Input>,
  input: Input,
): Promise<pg.QueryArrayResult<never[]>> {
  return transaction.query({ name, text, values: values(input) });
}

import type pg from 'pg';
import type { Form, RowSet } from './rowSet.ts';
import type { Transaction } from './transaction.ts';

/** A write with a prepared name for either form of its rows. */
export interface Operation<Input> {
  readonly name: string;
  /** Parameters are `$1`, `$2`, … without a gap. */
  readonly texts: Readonly<Record<Form, string>>;
  bind(input: Input): Bound;
}

/** An operation with its input. */
interface Bound {
  /** Whether it has one row of everything, and may take the form `one`. */
  readonly isOne: boolean;
  values(form: Form): unknown[];
}

interface RowWrite<Input, Row> {
  readonly name: string;
  /** The statement. @param source stands in FROM; @param names of its columns, in their order */
  text(source: string, names: string): string;
  /** The parameters `$1`, `$2`, …, which are the same for all rows. */
  values(input: Input): unknown[];
  readonly columns: RowSet<Row>;
  rows(input: Input): readonly Row[];
}

/** A statement that writes rows. */
export function rowWrite<Input, Row>(write: RowWrite<Input, Row>): Operation<Input> {
  const { name, columns } = write;
  const shared = parametersOf(write.text('', ''));
  const textOf = (form: Form) => write.text(columns.source(form, shared + 1), columns.names);
  return {
    name,
    texts: { one: textOf('one'), many: textOf('many') },
    bind: (input) => {
      const rows = write.rows(input);
      return {
        isOne: rows.length === 1,
        values: (form) => [...write.values(input), ...columns.values(form, rows)],
      };
    },
  };
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
  const textOf = (form: Form) => joined(operations.map(({ texts }) => texts[form]));
  return {
    name,
    texts: { one: textOf('one'), many: textOf('many') },
    bind: (input) => {
      const bound = operations.map((operation) => operation.bind(input));
      return {
        isOne: bound.every(({ isOne }) => isOne),
        values: (form) => bound.flatMap((each) => each.values(form)),
      };
    },
  };
}

function joined(texts: readonly string[]): string {
  let used = 0;
  const renumbered = texts.map((text) => {
    const offset = used;
    used += parametersOf(text);
    return text.replace(/\$(\d+)/g, (_, n) => `$${offset + Number(n)}`);
  });
  const last = renumbered.pop();
  const parts = renumbered.map((text, index) => `part_${index} AS (${text})`);
  return `WITH ${parts.join(', ')} ${last}`;
}

/** How many parameters a statement has. */
function parametersOf(text: string): number {
  return Math.max(0, ...Array.from(text.matchAll(/\$(\d+)/g), ([, n]) => Number(n)));
}

/** Issues a write. @throws at once when its values cannot be made, see {@link Transaction.query} */
export function run<Input>(
  transaction: Transaction,
  { name, texts, bind }: Operation<Input>,
  input: Input,
): Promise<pg.QueryArrayResult<never[]>> {
  const { isOne, values } = bind(input);
  const form = isOne ? 'one' : 'many';
  return transaction.query({ name: `${name}-${form}`, text: texts[form], values: values(form) });
}

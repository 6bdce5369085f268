import { openingUnits, withClient } from './onhand.ts';
import type { Checked } from './subject.ts';

/** How the tables of a subject differ from those of others. */
export interface LevelTables {
  /** The column of the tenant. */
  readonly tenant: string;
  /** SQL of what else is wrong about level `l` beside its movements `m`. */
  readonly wrong?: string;
}

/** Whether every level is its opening stock and its movements. @throws when not */
export function checkLevels(databaseUrl: string, tables: LevelTables): Promise<Checked> {
  const { tenant, wrong = 'false' } = tables;
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ wrong: number; movements: number }>(
      `WITH ledger AS (
         SELECT ${tenant}, warehouse, product, sum(on_hand_change) AS on_hand,
           sum(reserved_change) AS reserved, count(*) AS movements
         FROM movements GROUP BY 1, 2, 3)
       SELECT count(*) FILTER (WHERE ${wrong} OR l.reserved <> coalesce(m.reserved, 0) OR l.on_hand <>
           CASE WHEN ${tenant} = 'demo' THEN $1::bigint ELSE 0 END + coalesce(m.on_hand, 0))::int
           AS wrong,
         coalesce(sum(m.movements), 0)::int AS movements
       FROM levels l LEFT JOIN ledger m USING (${tenant}, warehouse, product)`,
      [openingUnits],
    );
    const [found] = rows;
    if (found?.wrong !== 0) throw new Error(`${found?.wrong} levels differ from their movements`);
    return { movements: found.movements };
  });
}

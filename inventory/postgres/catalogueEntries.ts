import type pg from 'pg';
import { queryConfirmed } from './confirmed.ts';
import { Conditions, type PageOf, rowsOf } from './reads.ts';

/** A registered warehouse or product. */
export interface CatalogueRow {
  readonly code: string;
  readonly name: string | null;
  /** Products only. */
  readonly allowBackorder?: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

const TABLES = {
  warehouse: {
    table: 'warehouses',
    columns: `warehouse AS code, name, created_at AS "createdAt", updated_at AS "updatedAt"`,
  },
  product: {
    table: 'products',
    columns: `product AS code, name, allow_backorder AS "allowBackorder",
              created_at AS "createdAt", updated_at AS "updatedAt"`,
  },
} as const;

export type CatalogueKind = keyof typeof TABLES;

/** What a PUT gives; what it leaves out is set to its default. */
export interface CatalogueWrite {
  readonly code: string;
  readonly name: string | null;
  readonly allowBackorder: boolean;
}

/**
 * Registers or replaces one entry. `created`: it was not there before.
 * @throws UnconfirmedError when it is written, and a synchronous standby may not have it
 */
export async function putCatalogueEntry(
  pool: pg.Pool,
  tenant: string,
  kind: CatalogueKind,
  { code, name, allowBackorder }: CatalogueWrite,
): Promise<{ row: CatalogueRow; created: boolean }> {
  const { table, columns } = TABLES[kind];
  const isProduct = kind === 'product';
  // xmax is zero on a row that this statement made, and its own transaction on one that it updated.
  const text = `
    INSERT INTO ${table} (tenant_id, ${kind}, name${isProduct ? ', allow_backorder' : ''})
    VALUES ($1, $2, $3${isProduct ? ', $4' : ''})
    ON CONFLICT (tenant_id, ${kind}) DO UPDATE
    SET name = excluded.name, updated_at = now()
        ${isProduct ? ', allow_backorder = excluded.allow_backorder' : ''}
    RETURNING ${columns}, xmax = 0 AS created`;
  const values = isProduct ? [tenant, code, name, allowBackorder] : [tenant, code, name];
  const { rows } = await queryConfirmed<CatalogueRow & { created: boolean }>(pool, {
    text,
    values,
  });
  const { created, ...entry } = rows[0] as CatalogueRow & { created: boolean };
  return { row: entry, created };
}

export async function findCatalogueEntry(
  pool: pg.Pool,
  tenant: string,
  kind: CatalogueKind,
  code: string,
): Promise<CatalogueRow | undefined> {
  const { table, columns } = TABLES[kind];
  const text = `SELECT ${columns} FROM ${table} WHERE tenant_id = $1 AND ${kind} = $2`;
  const [row] = await rowsOf<CatalogueRow>(pool, text, [tenant, code]);
  return row;
}

/** Entries in the order of their codes. */
export function listCatalogueEntries(
  pool: pg.Pool,
  tenant: string,
  kind: CatalogueKind,
  page: PageOf<string>,
): Promise<CatalogueRow[]> {
  const { table, columns } = TABLES[kind];
  const where = new Conditions(tenant);
  if (page.after !== undefined) where.add(`${kind} > ${where.parameter(page.after)}`);
  const text = `SELECT ${columns} FROM ${table} WHERE tenant_id = $1${where.text}
    ORDER BY ${kind} LIMIT ${where.parameter(page.limit)}`;
  return rowsOf<CatalogueRow>(pool, text, where.values);
}

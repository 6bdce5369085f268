import type pg from 'pg';
import { type Catalogue, findCatalogue } from '../postgres/findCatalogue.ts';
import { findTargets, type Targets } from '../postgres/findTargets.ts';
import type { Command } from '../stock/commands.ts';
import type { Pair } from '../stock/stock.ts';
import { namedTargets } from './footprint.ts';

/**
 * Looks up what commands name, before any row is locked.
 * @returns undefined when they name nothing
 */
export async function resolveTargets(
  pool: pg.Pool,
  tenant: string,
  commands: readonly Command[],
): Promise<Targets | undefined> {
  const { postings, reservations } = namedTargets(commands);
  if (postings.length === 0 && reservations.length === 0) return undefined;
  return findTargets(pool, tenant, postings, reservations);
}

/** What the catalogue knows of the warehouses and products of some levels. */
export function findCatalogueOf(
  pool: pg.Pool,
  tenant: string,
  pairs: readonly Pair[],
): Promise<Catalogue> {
  const warehouses = [...new Set(pairs.map(({ warehouse }) => warehouse))];
  const products = [...new Set(pairs.map(({ product }) => product))];
  return findCatalogue(pool, tenant, warehouses, products);
}

import type { Answer } from '@onhand/idempotency';
import type { Database } from '../postgres/database.ts';
import { overdueMax } from '../postgres/loadContext.ts';
import { sumOverdue } from '../postgres/sumOverdue.ts';
import { Transaction } from '../postgres/transaction.ts';
import { genesisHash } from '../stock/chain.ts';
import type { Command } from '../stock/commands.ts';
import { apply, type Context, decide, expire } from '../stock/decide.ts';
import { hasExpired, heldOf, levelKey } from '../stock/stock.ts';
import type { Render } from './batch.ts';
import { footprintOf } from './footprint.ts';
import { type LoadedStock, loadStock } from './loadStock.ts';
import { findCatalogueOf, resolveTargets } from './resolve.ts';
import { uuidv7 } from './uuidv7.ts';

/** Decides without writing: what would happen if the commands were sent now, in this order. */
export class Preview {
  readonly #database: Database;
  readonly #render: Render;

  constructor(database: Database, render: Render) {
    this.#database = database;
    this.#render = render;
  }

  /**
   * Reads one snapshot, takes no lock and makes no row. The ids in the answers are of the form that
   * a real answer would have; they name nothing. The sequences leave out the bookings of holds that
   * have expired where those are more than a batch gives back.
   * @param bytesMax of all bodies: with the first one beyond it, it ends
   * @returns the answers of the commands, from the first on
   */
  async decide(
    tenant: string,
    commands: readonly Command[],
    bytesMax = Number.POSITIVE_INFINITY,
  ): Promise<Answer[]> {
    const { reads } = this.#database;
    const targets = await resolveTargets(reads, tenant, commands);
    const footprint = footprintOf(commands, targets);
    const catalogue = await findCatalogueOf(reads, tenant, footprint.pairs);
    const transaction = await Transaction.openReadOnly(reads);
    let loaded: LoadedStock;
    try {
      const plan = { tenant, footprint, targets, catalogue, keys: [] };
      loaded = await loadStock(transaction, { ...plan, mode: 'read' });
      if (loaded.context.overdue.length > overdueMax) await freeOverdue(transaction, loaded);
    } finally {
      await transaction.rollback();
    }
    addMissingLevels(loaded);
    return this.#decideAll(loaded, commands, bytesMax);
  }

  #decideAll(
    { stock, context }: LoadedStock,
    commands: readonly Command[],
    bytesMax: number,
  ): Answer[] {
    const { now } = context;
    const decided: Context = { now, recordedAt: now, nextId: () => uuidv7(now) };
    const answers: Answer[] = [];
    let bytes = 0;
    for (const command of commands) {
      for (const lapsed of expire(stock, decided)) apply(stock, lapsed);
      const outcome = decide(stock, command, decided);
      apply(stock, outcome);
      const answer = this.#render(outcome, command, now);
      answers.push(answer);
      bytes += answer.body.length;
      if (bytes > bytesMax) break;
    }
    return answers;
  }
}

/**
 * Takes overdue holds off their levels by their sums, as reads do, and off the reservations at
 * hand.
 */
async function freeOverdue(
  transaction: Transaction,
  { stock, levels, context }: LoadedStock,
): Promise<void> {
  const { tenant } = stock;
  const pairs = [...levels.values()];
  const sums = transaction.pipelined(() => sumOverdue(transaction, tenant, pairs, context.now));
  for (const { warehouse, product, units } of await sums) {
    const level = levels.get(levelKey(warehouse, product));
    if (level !== undefined) level.reserved -= units;
  }
  stock.overdue = [];
  for (const [id, reservation] of stock.reservations) {
    if (!hasExpired(reservation, context.now)) continue;
    const lines = reservation.lines.map((line) => ({
      ...line,
      expired: line.expired + heldOf(line),
    }));
    stock.reservations.set(id, { ...reservation, lines });
  }
}

/** A real batch would make these rows first. */
function addMissingLevels({ stock, missing }: LoadedStock): void {
  for (const { warehouse, product } of missing) {
    if (!stock.warehouses.has(warehouse) || !stock.products.has(product)) continue;
    stock.levels.set(levelKey(warehouse, product), {
      warehouse,
      product,
      onHand: 0,
      reserved: 0,
      sequence: 0,
      hash: genesisHash,
      recordedAt: 0,
    });
  }
}

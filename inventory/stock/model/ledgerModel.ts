/**
 * An independent, naive account of the stock, to test `decide` against (`ledgerRules.ts`).
 *
 * It keeps nothing but a list of entries in big integers; every level and every reservation is
 * folded from that list anew at each question. It shares no code with the domain, only its types.
 */

import type { Command } from '../commands.ts';
import type { OverdueHold } from '../stock.ts';

type Purpose = 'stock' | 'hold' | 'ship' | 'release' | 'expire';

export interface Entry {
  warehouse: string;
  product: string;
  purpose: Purpose;
  units: bigint;
}

interface Recorded {
  id: string;
  type: Command['type'] | 'expiry';
  reservation: string | null;
  entries: Entry[];
  reversedBy?: string;
}

interface Reserved {
  id: string;
  warehouse: string;
  expiresAt: number;
}

export interface Effect {
  entries: Entry[];
  /** Milliseconds since the epoch; of a reservation or its extension. */
  expiresAt?: number;
}

function total(entries: readonly Entry[], ...purposes: Purpose[]): bigint {
  return entries
    .filter((entry) => purposes.includes(entry.purpose))
    .reduce((sum, entry) => sum + entry.units, 0n);
}

export class LedgerModel {
  readonly postings: Recorded[] = [];
  readonly reservations: Reserved[] = [];

  /** @param extra entries to suppose on top of those recorded */
  level(warehouse: string, product: string, extra: readonly Entry[] = []) {
    const entries = [...this.postings.flatMap((posting) => posting.entries), ...extra];
    const here = entries.filter((e) => e.warehouse === warehouse && e.product === product);
    const onHand = total(here, 'stock') - total(here, 'ship');
    const reserved = total(here, 'hold') - total(here, 'ship', 'release', 'expire');
    return { onHand, reserved, available: onHand - reserved };
  }

  line(reservation: string, product: string, extra: readonly Entry[] = []) {
    const own = [...this.#entriesOf(reservation), ...extra].filter((e) => e.product === product);
    const [quantity, shipped] = [total(own, 'hold'), total(own, 'ship')];
    const [released, expired] = [total(own, 'release'), total(own, 'expire')];
    const held = quantity - shipped - released - expired;
    return { quantity, shipped, released, expired, held };
  }

  productsOf(reservation: string): string[] {
    return [...new Set(this.#entriesOf(reservation).map((entry) => entry.product))];
  }

  reservation(id: string | null): Reserved | undefined {
    return this.reservations.find((reservation) => reservation.id === id);
  }

  /** What a loader would find held by reservations whose time is over. */
  overdue(now: number): OverdueHold[] {
    return this.reservations
      .filter(({ expiresAt }) => now >= expiresAt)
      .flatMap(({ id, warehouse }) =>
        this.productsOf(id).map((product) => {
          const quantity = Number(this.line(id, product).held);
          return { reservation: id, warehouse, product, quantity };
        }),
      )
      .filter(({ quantity }) => quantity > 0);
  }

  /** Takes note of a command that both sides agree was posted, under the ids it was given. */
  record(command: Command, effect: Effect, id: string, reservation: string | null): void {
    const { entries, expiresAt = Number.POSITIVE_INFINITY } = effect;
    this.postings.push({ id, type: command.type, reservation, entries });
    if (command.type === 'reservation') {
      const { warehouse } = command;
      this.reservations.push({ id: reservation ?? '', warehouse, expiresAt });
    }
    const extended = command.type === 'reservation-extend' && this.reservation(reservation);
    if (extended) extended.expiresAt = expiresAt;
    if (command.type !== 'reversal') return;
    const original = this.postings.find((posting) => posting.id === command.posting);
    if (original) original.reversedBy = id;
  }

  /** Takes note of an expiry posting. */
  recordExpiry(id: string, reservation: string | null, holds: readonly OverdueHold[]): void {
    const entries = holds
      .filter((hold) => hold.reservation === reservation)
      .map(({ warehouse, product, quantity }): Entry => {
        return { warehouse, product, purpose: 'expire', units: BigInt(quantity) };
      });
    this.postings.push({ id, type: 'expiry', reservation, entries });
  }

  #entriesOf(reservation: string): Entry[] {
    return this.postings
      .filter((posting) => posting.reservation === reservation)
      .flatMap((posting) => posting.entries);
  }
}

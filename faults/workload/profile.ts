import type { Catalogue } from './history.ts';

/** The shape of a workload: who, over what, how hard, how rude. */
export interface Profile {
  readonly tenants: readonly string[];
  readonly warehouses: number;
  readonly products: number;
  /** Share of lines that name one of the first two products. */
  readonly hotShare: number;
  /** Clients at once; each waits for its answer before its next command. */
  readonly clients: number;
  readonly openingStock: number;
  /** Weight of each type of command; one that is missing is not sent. */
  readonly mix: Readonly<Record<string, number>>;
  /** Share of requests sent to several instances at once. */
  readonly duplicateShare: number;
  /** Share of requests during which the client hangs up. */
  readonly hangUpShare: number;
  /** Share of clients' operations that misuse a key. */
  readonly misuseShare: number;
  /** Share of settled operations that are sent once more. */
  readonly repeatShare: number;
  /** Share of acknowledged operations that are looked at afterwards, in every way there is. */
  readonly probeShare: number;
}

export const mixedProfile: Profile = {
  tenants: ['north', 'south', 'east'],
  warehouses: 3,
  products: 12,
  hotShare: 0.5,
  clients: 24,
  openingStock: 40,
  mix: {
    receipt: 20,
    shipment: 22,
    transfer: 14,
    adjustment: 6,
    count: 5,
    reservation: 12,
    'reservation-ship': 6,
    'reservation-release': 4,
    'reservation-extend': 3,
    reversal: 4,
    batch: 5,
    read: 12,
    'dry-run': 2,
    invalid: 2,
  },
  duplicateShare: 0.08,
  hangUpShare: 0.05,
  misuseShare: 0.03,
  repeatShare: 0.12,
  probeShare: 0.1,
};

/** The codes of a run: the same in every tenant, so that a mix-up of tenants finds a victim. */
export function catalogueOf({ warehouses, products }: Profile): Catalogue {
  const codes = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, n) => `${prefix}${n + 1}`);
  const all = codes('P', products);
  return {
    warehouses: codes('W', warehouses),
    products: all,
    // The last one, so that the hot ones are not sold below zero.
    backorderProducts: products > 3 ? all.slice(-1) : [],
  };
}

import type { Profile } from '../workload/profile.ts';

/** Everybody at the same few levels of one tenant. */
export const crowded: Partial<Profile> = {
  tenants: ['north'],
  warehouses: 2,
  products: 3,
  hotShare: 0.7,
  openingStock: 500,
};

/** Transfers there and back, nothing else. */
export const transfersOnly: Partial<Profile> = {
  ...crowded,
  products: 6,
  mix: { transfer: 10, receipt: 1 },
  misuseShare: 0,
};

/** Clients that send everything to two or three instances at once. */
export const duplicates: Partial<Profile> = {
  ...crowded,
  products: 12,
  duplicateShare: 0.8,
  misuseShare: 0,
  mix: { receipt: 5, adjustment: 3 },
};

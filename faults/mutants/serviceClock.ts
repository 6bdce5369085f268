import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const serviceClock: Mutant = {
  name: 'expiry-by-the-service-clock',
  what: 'expiry is decided by the clock of the service process',
  patches: [
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: 'const context = { now, recordedAt, nextId: () => uuidv7(recordedAt) };',
      replace: 'const context = { now: Date.now(), recordedAt, nextId: () => uuidv7(recordedAt) };',
    },
  ],
  kinds: ['jump-clock'],
  profile: { ...crowded, mix: { receipt: 5, reservation: 5, 'reservation-ship': 5 } },
  noticedBy: ['clock', 'refusal', 'effect'],
};

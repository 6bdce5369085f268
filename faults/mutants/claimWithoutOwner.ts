import type { Mutant } from './mutant.ts';
import { noLookUp } from './noLookUp.ts';
import { duplicates } from './profiles.ts';

export const claimWithoutOwner: Mutant = {
  name: 'claim-without-owner',
  what: 'a claim is granted to everybody who asks, for its owner is not compared (and nothing stands behind it)',
  patches: [
    ...noLookUp,
    {
      file: 'idempotency/redis/scripts.ts',
      find: 'if left < 0 or string.sub(held, 6, 29) == string.sub(value, 6, 29) then',
      replace: 'if left >= -1 then',
    },
  ],
  kinds: [],
  profile: { ...duplicates, hangUpShare: 0 },
  noticedBy: ['exactly-once', 'repeat', 'record'],
};

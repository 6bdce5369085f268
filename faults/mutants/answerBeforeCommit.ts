import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const answerBeforeCommit: Mutant = {
  name: 'answer-before-commit',
  what: 'the caller is answered when COMMIT was sent, not when it returned',
  patches: [
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: 'await transaction.commit(write, () => committing(transaction));',
      replace: 'void transaction.commit(write, () => committing(transaction)).catch(() => {});',
    },
  ],
  kinds: ['kill-postgres', 'cut-postgres', 'kill-service'],
  profile: crowded,
  noticedBy: ['exactly-once', 'record', 'repeat', 'read', 'order'],
};

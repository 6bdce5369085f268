import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const answerBeforeCommit: Mutant = {
  name: 'answer-before-commit',
  what: 'the caller is answered when COMMIT was sent, not when it returned',
  patches: [
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: '    await transaction.commit(() =>',
      replace: `    void settledLater(() =>`,
    },
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: 'writeEffects(transaction, tenant, effects, lapsedKeys, times));\n',
      replace: `writeEffects(transaction, tenant, effects, lapsedKeys, times));
    function settledLater(issue: () => readonly Promise<unknown>[]) {
      return transaction.commit(issue).catch(() => transaction.rollback());
    }
`,
    },
  ],
  kinds: ['kill-postgres', 'cut-postgres', 'kill-service'],
  profile: crowded,
  noticedBy: ['exactly-once', 'record', 'repeat', 'read', 'order'],
};

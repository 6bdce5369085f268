import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const splitAppliedTwice: Mutant = {
  name: 'split-applied-twice',
  what: 'a batch that failed is split at once, its halves under keys of their own, though it may have committed',
  patches: [
    {
      file: 'inventory/pipeline/settleBatch.ts',
      find: "if (failure === 'refused' || attempt === attemptsMax",
      replace: "if (failure !== 'transient' || attempt === attemptsMax",
    },
    {
      file: 'inventory/pipeline/settleBatch.ts',
      find: "  if (failure === 'unreachable') {",
      replace: `  if (failure === 'unreachable' && !submissions[0]?.key.endsWith('+')) {
    const again = submissions.map((each) => ({ ...each, key: \`\${each.key}+\` }));
    const half = again.length >> 1;
    if (half > 0) yield* settleBatch(options, again.slice(0, half), undefined, patience);
    yield* settleBatch(options, again.slice(half), undefined, patience);
    return;
  }
  if (failure === 'unreachable') {`,
    },
  ],
  kinds: ['cut-postgres', 'half-open', 'kill-postgres'],
  profile: crowded,
  noticedBy: ['exactly-once', 'record', 'repeat'],
};

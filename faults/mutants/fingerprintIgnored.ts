import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const fingerprintIgnored: Mutant = {
  name: 'fingerprint-ignored',
  what: 'a key answers every request, also another one',
  patches: [
    {
      file: 'idempotency/fingerprint.ts',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is code, to be found as it is
      find: "(request)}${body}`, 'hex')",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the same
      replace: "(request)}${body}`.slice(0, 4), 'hex')",
    },
  ],
  kinds: [],
  profile: { ...crowded, misuseShare: 0.1 },
  noticedBy: ['misuse', 'exactly-once', 'record', 'refusal'],
};

import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const levelFromCache: Mutant = {
  name: 'level-from-a-cache',
  what: 'levels are read from a cache of the process that is a second old at most',
  patches: [
    {
      file: 'inventory/postgres/findLevels.ts',
      find: "const [row] = await rowsOf<LevelRow>(pool, text, values, 'find-level');\n  return row;",
      replace: `const name = values.join();
  const known = cached.get(name);
  if (known !== undefined && performance.now() < known.until) return known.row;
  const [row] = await rowsOf<LevelRow>(pool, text, values, 'find-level');
  cached.set(name, { row, until: performance.now() + 1_000 });
  return row;`,
    },
    {
      file: 'inventory/postgres/findLevels.ts',
      find: '/** One level; undefined if it was never moved. */\n',
      replace: 'const cached = new Map<string, { row: LevelRow | undefined; until: number }>();\n',
    },
  ],
  kinds: [],
  profile: crowded,
  noticedBy: ['read'],
};

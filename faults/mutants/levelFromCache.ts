import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const levelFromCache: Mutant = {
  name: 'level-from-a-cache',
  what: 'levels are read from a cache of the process that is a second old at most',
  patches: [
    {
      file: 'inventory/postgres/levelReader.ts',
      find: 'return this.#levels.load({ tenant, warehouse, product });',
      replace: `const name = [tenant, warehouse, product].join();
    const known = cached.get(name);
    if (known !== undefined && performance.now() < known.until) return known.level;
    const level = this.#levels.load({ tenant, warehouse, product });
    cached.set(name, { level, until: performance.now() + 1_000 });
    return level;`,
    },
    {
      file: 'inventory/postgres/levelReader.ts',
      find: '/** A level that is asked for. */',
      replace:
        'const cached = new Map<string, { level: Promise<LevelRow | undefined>; until: number }>();\n\n/** A level that is asked for. */',
    },
  ],
  kinds: [],
  profile: crowded,
  noticedBy: ['read'],
};

import type { Shape } from '../network/link.ts';
import type { Random } from '../random.ts';
import type { Cluster } from '../supervisor/cluster.ts';
import type { Fault } from './catalogue.ts';

export type LinkSide = 'front' | 'postgres' | 'redis' | 'any';

/** Breaks one link of one service. */
export function linkFault(
  cluster: Cluster,
  random: Random,
  kind: 'cut' | 'delay' | 'dribble' | 'half-open' | 'black-hole',
  side: LinkSide,
): Fault {
  const service = random.pick(cluster.services);
  const chosen = side === 'any' ? random.pick(['front', 'postgres', 'redis'] as const) : side;
  const link = service[chosen];
  const shape = kind === 'cut' ? undefined : shapeOf(kind, random);
  return {
    thing: link.name,
    target: link.name,
    lastsMs: shape === undefined ? 0 : random.between(200, 4_000),
    instances: [service.index],
    inject: async () => {
      if (link.connected === 0) return undefined;
      if (shape === undefined) link.cut();
      else link.shape(shape);
      return () => {
        link.heal();
        // After a black hole, half of the connections turn out to be dead.
        if (kind === 'black-hole' && random.chance(0.5)) link.cut();
      };
    },
  };
}

function shapeOf(kind: 'delay' | 'dribble' | 'half-open' | 'black-hole', random: Random): Shape {
  if (kind === 'delay') return { kind, ms: random.between(5, 250) };
  if (kind === 'dribble') return { kind, bytes: random.between(1, 40) };
  return { kind };
}

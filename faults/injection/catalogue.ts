import type { Random } from '../random.ts';
import type { Cluster } from '../supervisor/cluster.ts';
import type { Loss } from '../supervisor/replication.ts';
import { cancelSessions } from './cancelSessions.ts';
import { exhaustConnections } from './exhaust.ts';
import { fillDisk } from './fillDisk.ts';
import { type LinkSide, linkFault } from './linkFaults.ts';

/** A fault about to be injected. */
export interface Fault {
  /** What it breaks; one fault at a time breaks a thing. */
  readonly thing: string;
  readonly target: string;
  readonly lastsMs: number;
  /** Instances that must answer again after it healed. */
  readonly instances: readonly number[];
  /** @returns how to heal it; undefined when it could not be injected just now */
  inject(): Promise<(() => void | Promise<void>) | undefined>;
}

interface Kind {
  /** For the report. */
  readonly what: string;
  /** @returns undefined when this cluster has nothing to break that way */
  draw(cluster: Cluster, random: Random): Fault | undefined;
}

/** Past every lease (1.5 s) and the database's patience with an idle transaction (4 s), or not. */
const pauseMs = (random: Random) =>
  random.chance(0.3) ? random.between(4_200, 5_500) : random.between(100, 2_500);

const all = (cluster: Cluster) => cluster.services.map(({ index }) => index);

const sides = (side: LinkSide, shape: Parameters<typeof linkFault>[2]) => ({
  draw: (cluster: Cluster, random: Random) => linkFault(cluster, random, shape, side),
});

/** @param promote makes the standby the primary; false when it could not be just then */
function promotion(cluster: Cluster, promote: () => Promise<boolean>): Fault | undefined {
  if (!cluster.postgres.hasStandby) return undefined;
  return {
    thing: 'postgres',
    target: 'primary',
    lastsMs: 0,
    instances: all(cluster),
    inject: async () => {
      if (!(await promote())) return undefined;
      cluster.aimAtPrimary();
      return () => {};
    },
  };
}

function losePrimary(
  cluster: Cluster,
  random: Random,
  then: Omit<Loss, 'aloneMs'>,
): Fault | undefined {
  const loss = { aloneMs: random.between(50, 1_500), ...then };
  return promotion(cluster, () => cluster.postgres.losePrimary(loss));
}

export const faultKinds = {
  'kill-service': {
    what: 'SIGKILL of a service process, then a new one',
    draw: (cluster, random) => {
      const service = random.pick(cluster.services);
      return {
        thing: `service ${service.index}`,
        target: `service ${service.index}`,
        lastsMs: random.between(0, 600),
        instances: [service.index],
        inject: async () => {
          if (!service.isReady) return undefined;
          await service.kill();
          return async () => {
            service.start();
          };
        },
      };
    },
  },
  'pause-service': {
    what: 'SIGSTOP and SIGCONT of a service process, often past every lease',
    draw: (cluster, random) => {
      const service = random.pick(cluster.services);
      return {
        thing: `service ${service.index}`,
        target: `service ${service.index}`,
        lastsMs: pauseMs(random),
        instances: [service.index],
        inject: async () => {
          if (!service.isReady) return undefined;
          service.pause();
          return () => service.resume();
        },
      };
    },
  },
  'jump-clock': {
    what: 'the clock of a service process jumps by seconds to a day, there and back',
    draw: (cluster, random) => {
      const service = random.pick(cluster.services);
      const shiftMs = random.pick([-86_400_000, -60_000, -3_000, 3_000, 60_000, 86_400_000]);
      return {
        thing: `clock ${service.index}`,
        target: `service ${service.index}`,
        lastsMs: random.between(500, 4_000),
        instances: [service.index],
        inject: async () => {
          if (!service.isReady) return undefined;
          service.setClock(shiftMs);
          return () => service.setClock(0);
        },
      };
    },
  },
  'kill-postgres': {
    what: 'SIGKILL of the PostgreSQL primary, then crash recovery',
    draw: (cluster, random) => ({
      thing: 'postgres',
      target: 'primary',
      lastsMs: random.between(0, 1_000),
      instances: all(cluster),
      inject: async () => {
        const { primary } = cluster.postgres;
        await primary.kill();
        return () => primary.start();
      },
    }),
  },
  'fail-over': {
    what: 'SIGKILL of the primary, promotion of the synchronous standby',
    draw: (cluster) => promotion(cluster, () => cluster.postgres.failOver()),
  },
  'lose-primary': {
    what: 'the standby cut off while commits come, then SIGKILL of the primary, promotion of the standby',
    draw: (cluster, random) => losePrimary(cluster, random, {}),
  },
  'lose-recovered-primary': {
    what: 'the same, but the primary crashes and recovers before it is lost',
    draw: (cluster, random) =>
      losePrimary(cluster, random, { recoversMs: random.between(1_500, 3_000) }),
  },
  'cancel-commits': {
    what: 'the standby cut off, the commits that wait for it cancelled by pg_cancel_backend, then the primary lost',
    draw: (cluster, random) =>
      losePrimary(cluster, random, { cancelsMs: random.between(200, 1_000) }),
  },
  'cancel-sessions': {
    what: 'pg_cancel_backend or pg_terminate_backend of every session of the services, again and again',
    draw: (cluster, random) => ({
      // Not while the standby is cut off: a commit that it then lets go is seen, and may be lost.
      thing: 'postgres',
      target: 'primary',
      lastsMs: random.between(100, 1_500),
      instances: all(cluster),
      inject: async () => cancelSessions(cluster, random.pick(['cancel', 'terminate'])),
    }),
  },
  'cut-standby': {
    what: 'the standby cut off or silent, so that commits wait for it',
    draw: (cluster, random) => {
      if (!cluster.postgres.hasStandby) return undefined;
      const { link } = cluster.postgres;
      return {
        thing: 'postgres',
        target: link.name,
        lastsMs: random.between(200, 3_000),
        instances: all(cluster),
        inject: async () => {
          if (cluster.postgres.isRebuilding) return undefined;
          link.shape({ kind: random.chance(0.5) ? 'black-hole' : 'refuse' });
          if (random.chance(0.5)) link.cut();
          return () => link.heal();
        },
      };
    },
  },
  'full-disk': {
    what: 'the disk of the primary full',
    draw: (cluster, random) => {
      if (cluster.diskReason !== undefined) return undefined;
      return {
        thing: 'postgres',
        target: 'disk of the primary',
        lastsMs: random.between(300, 2_500),
        instances: all(cluster),
        inject: () => fillDisk(cluster.postgres.primary),
      };
    },
  },
  'exhaust-connections': {
    what: 'every connection of PostgreSQL taken by somebody else',
    draw: (cluster, random) => ({
      thing: 'connections',
      target: 'primary',
      lastsMs: random.between(300, 2_500),
      instances: all(cluster),
      inject: () => exhaustConnections(cluster),
    }),
  },
  'flush-redis': {
    what: 'FLUSHALL',
    draw: (cluster) => ({
      thing: 'redis',
      target: 'redis',
      lastsMs: 0,
      instances: all(cluster),
      inject: async () => {
        await cluster.redis.call('FLUSHALL');
        return () => {};
      },
    }),
  },
  'kill-redis': {
    what: 'SIGKILL of Redis, then an empty one',
    draw: (cluster, random) => ({
      thing: 'redis',
      target: 'redis',
      lastsMs: random.between(0, 1_500),
      instances: all(cluster),
      inject: async () => {
        await cluster.redis.kill(true);
        return () => cluster.redis.start();
      },
    }),
  },
  'pause-redis': {
    what: 'SIGSTOP and SIGCONT of Redis',
    draw: (cluster, random) => ({
      thing: 'redis',
      target: 'redis',
      lastsMs: pauseMs(random),
      instances: all(cluster),
      inject: async () => {
        cluster.redis.pause();
        return () => cluster.redis.resume();
      },
    }),
  },
  'stale-redis': {
    what: 'SIGKILL of Redis, then one with a snapshot of up to seconds before',
    draw: (cluster, random) => ({
      thing: 'redis',
      target: 'redis',
      lastsMs: random.between(500, 4_000),
      instances: all(cluster),
      inject: async () => {
        await cluster.redis.call('SAVE');
        return async () => {
          await cluster.redis.kill(false);
          await cluster.redis.start();
        };
      },
    }),
  },
  'cut-clients': {
    what: 'connections between clients and a service reset',
    ...sides('front', 'cut'),
  },
  'cut-postgres': {
    what: 'connections between a service and PostgreSQL reset',
    ...sides('postgres', 'cut'),
  },
  'cut-redis': { what: 'connections between a service and Redis reset', ...sides('redis', 'cut') },
  delay: { what: 'a link with 5 to 250 ms of delay on each piece', ...sides('any', 'delay') },
  dribble: { what: 'a link that passes a few bytes a millisecond', ...sides('any', 'dribble') },
  'half-open': { what: 'a link that loses all replies', ...sides('any', 'half-open') },
  'black-hole': {
    what: 'a link that passes nothing and says nothing',
    ...sides('any', 'black-hole'),
  },
} satisfies Record<string, Kind>;

export type FaultKind = keyof typeof faultKinds;

export const allFaultKinds = Object.keys(faultKinds) as FaultKind[];

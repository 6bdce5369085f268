import { setTimeout } from 'node:timers/promises';
import type { Load } from '../load/load.ts';
import type { Rig } from '../rig.ts';
import type { Subject } from '../subjects/subject.ts';
import { cpuOf, memoryOf, readProcesses } from './processes.ts';
import type { Cpu, RunLoad, Sample } from './sample.ts';

/** Requests in flight when a load ends are answered within it, on an idle service. */
const settleMs = 150;

/**
 * Loads one subject and reads the meters before and after: CPU of its processes, PostgreSQL, Redis
 * and the load itself, resident memory, and the position of the write-ahead log.
 * @param movements that one request adds
 */
export async function measure(
  rig: Rig,
  subject: Subject,
  runLoad: RunLoad,
  load: Load,
  { round, movements }: { round: number; movements: number },
): Promise<Sample> {
  const before = await readMeters(rig, subject);
  const measured = await (subject.run ?? runLoad)(load);
  await setTimeout(settleMs);
  const after = await readMeters(rig, subject);
  const { answers, refused, seconds } = measured;
  const metered = measured.metered ?? answers;
  const share = (name: keyof Cpu) => ((after.cpu[name] - before.cpu[name]) / metered) * 1e6;
  const added = subject.name === 'bare' ? 0 : (metered - refused) * movements;
  return {
    ...measured,
    round,
    rate: (answers - refused) / seconds,
    cpu: {
      service: share('service'),
      postgres: share('postgres'),
      redis: share('redis'),
      load: share('load'),
    },
    memory: after.memory,
    walPerMovement: added === 0 ? null : (after.wal - before.wal) / added,
  };
}

interface Meters {
  readonly cpu: Cpu;
  readonly memory: number;
  readonly wal: number;
}

async function readMeters(rig: Rig, { servers, redisPid }: Subject): Promise<Meters> {
  const all = await readProcesses();
  const pids = servers.map(({ pid }) => pid);
  const [row] = await rig.query<{ wal: string }>(
    `SELECT pg_current_wal_insert_lsn() - '0/0' AS wal`,
  );
  const self = all.find(({ pid }) => pid === process.pid);
  return {
    cpu: {
      service: cpuOf(all, pids),
      postgres: cpuOf(all, [rig.postmasterPid]),
      redis: redisPid === undefined ? 0 : cpuOf(all, [redisPid]),
      // wrk and pgbench are children that have ended; autocannon is this process.
      load: (self?.cpu ?? 0) + (self?.childrenCpu ?? 0),
    },
    memory: memoryOf(all, pids),
    wal: Number(row?.wal),
  };
}

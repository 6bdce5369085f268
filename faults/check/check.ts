import type { History } from '../workload/history.ts';
import type { Anomaly, CheckName } from './anomaly.ts';
import { checkClients, fatesOf } from './clients.ts';
import { checkLedger } from './ledger.ts';
import { checkReads, Levels, type Lost } from './observations.ts';
import { checkProbes } from './probes.ts';
import { checkRefusals } from './refusals.ts';
import { replay } from './replay.ts';
import { checkReplies } from './replies.ts';
import type { Snapshot } from './snapshot.ts';

/** Anomalies of one check that are kept: what comes after them is mostly their consequence. */
const keptMax = 10;

/**
 * Compares what clients saw with what the database holds. Reads nothing else, and shares no code
 * with the service.
 * @param lost when a primary was up that was lost with what it showed
 */
export function check(history: History, snapshot: Snapshot, lost: readonly Lost[] = []): Anomaly[] {
  const anomalies: Anomaly[] = [];
  const counts = new Map<CheckName, number>();
  const report = (check: CheckName, message: string) => {
    const count = (counts.get(check) ?? 0) + 1;
    counts.set(check, count);
    if (count <= keptMax) anomalies.push({ check, message });
  };
  const fates = fatesOf(history, snapshot);
  checkClients(history, snapshot, fates, report);
  checkLedger(snapshot, history.catalogue, report);
  const world = replay(history, snapshot, fates, report);
  const levels = new Levels(snapshot, fates, world);
  levels.checkOrder(report);
  checkReads(history, levels, lost, report);
  checkRefusals(history, fates, world, levels, report);
  checkProbes(history.probes, report);
  checkReplies(history.unwelcome, report);
  return anomalies;
}

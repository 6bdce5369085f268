import path from 'node:path';
import { parseArgs } from 'node:util';
import { allFaultKinds, type FaultKind } from './injection/catalogue.ts';
import { run } from './run.ts';
import { mixedProfile } from './workload/profile.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string' },
    services: { type: 'string', default: '2' },
    faults: { type: 'string' },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
console.log('seed', seed);
const result = await run({
  seed,
  forMs: Number(values.minutes) * 60_000,
  roundMs: 60_000,
  services: Number(values.services),
  standby: true,
  kinds: (values.faults?.split(',').filter(Boolean) as FaultKind[]) ?? allFaultKinds,
  profile: mixedProfile,
  tree: path.join(import.meta.dirname, '..'),
  faultPauseMs: { min: 100, max: 900 },
  settleWithinMs: 60_000,
  onLine: (line) => console.log(line),
});
const { injected, ...rest } = result;
console.log(rest);
console.log('done', performance.now(), process.getActiveResourcesInfo());

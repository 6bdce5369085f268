import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cluster } from '../supervisor/cluster.ts';
import type { Caller } from '../workload/caller.ts';
import type { Reply } from '../workload/http.ts';
import type { CheckName } from './anomaly.ts';
import { checkServers } from './servers.ts';
import { sound } from './sound.ts';

const reply = (status: number, body: unknown): Reply => {
  return { status, headers: {}, body: JSON.stringify(body) };
};
const unavailable = reply(503, { code: 'database-unavailable' });

interface Said {
  readonly log?: string;
  readonly verify?: Reply;
  readonly neverSent?: Reply;
  /** Answers to the first lookups of a key that was answered; the right one after them. */
  readonly key?: (Reply | undefined)[];
}

async function namesOf({ log = '', verify, neverSent, key = [] }: Said): Promise<CheckName[]> {
  const { example, received } = sound();
  const { operations } = example.history;
  const history = { ...example.history, tenants: ['north'], operations: operations.slice(0, 1) };
  const own = reply(200, { answer: { body: JSON.parse(received.answer.body) } });
  const get = async (_tenant: string, _instance: number, path: string) => {
    if (path === '/v1/verify') return verify ?? reply(200, { valid: true });
    if (path.endsWith('/never-sent')) return neverSent ?? reply(404, { code: 'not-found' });
    return key.length > 0 ? key.shift() : own;
  };
  const cluster = { postgres: { servers: [{ log: () => log }] }, services: [] };
  const names: CheckName[] = [];
  const caller = { instances: 1, get } as unknown as Caller;
  await checkServers(cluster as unknown as Cluster, caller, history, (name) => names.push(name));
  return names;
}

for (const [what, said, names] of [
  ['servers that say what is right', {}, []],
  ['a key that is answered late', { key: [undefined, unavailable] }, []],
  ['a key that is never answered', { key: Array(5).fill(unavailable) }, ['liveness']],
  ['a key with another answer', { key: [reply(200, { answer: { body: {} } })] }, ['record']],
  ['a key that is not known', { key: [reply(404, {})] }, ['record']],
  ['a key that was never sent and is known', { neverSent: reply(200, {}) }, ['misuse']],
  ['a ledger that is not valid', { verify: reply(200, { valid: false }) }, ['verify']],
  ['a deadlock', { log: 'ERROR:  deadlock detected' }, ['deadlock']],
  ['a guard', { log: 'violates check constraint "levels_not_oversold"' }, ['guard']],
] as const satisfies readonly (readonly [string, Said, CheckName[]])[]) {
  test(`${what}: ${names.join() || 'no anomaly'}`, async () => {
    assert.deepEqual(await namesOf(said), names);
  });
}

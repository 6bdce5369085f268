import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Claim, LockDriver, LockMode } from '../driver.ts';
import { redisOfFile } from '../fixtures/redisOfFile.ts';
import { Board } from '../memory/board.ts';
import type { RedisClient } from '../redis/connect.ts';
import { redisDriver } from '../redis/driver.ts';

const redis = redisOfFile();

const names = ['a', 'b', 'c'];
const command = fc.record({
  verb: fc.constantFrom('acquire', 'acquire', 'acquire', 'release', 'release', 'extend', 'force'),
  owner: fc.nat({ max: 5 }),
  wait: fc.boolean(),
  sending: fc.constantFrom('one', 'two'),
  late: fc.boolean(),
});
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;
/** What each of the six owners wants, all along. */
const want = fc.record({
  keys: fc.subarray(names, { minLength: 1 }),
  mode: fc.constantFrom<LockMode>('exclusive', 'exclusive', 'shared'),
});
const leaseMs = 600_000;
let runs = 0;

/**
 * Plays the same commands to the scripts and to the board, and compares every answer, every wake-
 * up, and who holds and awaits each key. Owners 0 and 1 belong to a client that listens, 4 and 5 to
 * one that has gone; 2 and 3 call from both.
 */
async function play(
  wants: readonly { keys: string[]; mode: LockMode }[],
  commands: readonly Command[],
): Promise<void> {
  const prefix = `run${++runs}`;
  const heard: string[] = [];
  const expected: string[] = [];
  const progress = new EventTarget();
  const onGrant = (owner: string) => {
    heard.push(owner);
    progress.dispatchEvent(new Event('heard'));
  };
  const make = (client: RedisClient, name: string) =>
    redisDriver(client)({ prefix, client: name, aliveMs: leaseMs, onGrant });
  const live = make(redis.client, 'live');
  const gone = make(deaf, 'gone');
  await live.listen?.([`${prefix}:live`]);
  await gone.listen?.([`${prefix}:gone`]);
  const board = new Board(
    {
      now: () => performance.now(),
      clockToken: () => 1,
      reachable: (name) => name === 'live',
      wake: (_name, owner) => expected.push(owner),
    },
    leaseMs,
  );
  try {
    for (const { verb, owner, wait, sending, late } of commands) {
      const { keys = [], mode = 'exclusive' } = wants[owner] ?? {};
      const full = keys.map((key) => `${prefix}:${key}`);
      const claim: Claim = { keys: full, mode, leaseMs, owner: `o${owner}`, sending };
      const name = owner < 2 || (owner < 4 && sending === 'one') ? 'live' : 'gone';
      const driver: LockDriver = { live, gone }[name];
      if (verb === 'acquire') {
        const ours = board.acquire(claim, wait ? name : undefined);
        const its = await driver.acquire(claim, wait);
        assert.equal(its.granted, 'token' in ours);
        if (!its.granted && 'leftMs' in ours) assert.equal(its.retryMs > 0, ours.leftMs > 0);
      } else if (verb === 'release') {
        const count = board.release(claim, late ? sending : undefined);
        assert.equal(await driver.release(claim, late), count === full.length);
      } else if (verb === 'extend') {
        assert.equal(await driver.extend(claim), board.extend(claim));
      } else {
        const key = full[0] ?? '';
        assert.equal(await driver.forceRelease(key), board.forceRelease(key));
      }
      for (const state of await live.inspect(names.map((key) => `${prefix}:${key}`))) {
        const held = board.holdersOf(state.key);
        assert.equal(state.mode, held?.mode ?? 'free');
        const holders = state.holders.map(({ owner }) => owner).sort();
        assert.deepEqual(holders, [...(held?.until.keys() ?? [])].sort());
        assert.deepEqual(state.waiters, board.queues.get(state.key) ?? []);
      }
    }
    const soon = AbortSignal.timeout(5_000);
    while (heard.length < expected.length && !soon.aborted) {
      await new Promise((resolve) => {
        progress.addEventListener('heard', resolve, { once: true });
        soon.addEventListener('abort', resolve, { once: true });
      });
    }
    assert.deepEqual(heard, expected);
  } finally {
    await live.close();
  }
}

/** A client, to the driver one of Sentinel, whose subscriptions never come to the server. */
const deaf = {
  getSentinelNode() {},
  sendCommand: (_readonly: boolean, command: string[]) => redis.client.sendCommand(command),
  async sSubscribe() {},
  async sUnsubscribe() {},
};

test('the Lua scripts answer every history as the model does', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(want, { minLength: 6, maxLength: 6 }),
      fc.array(command, { minLength: 5, maxLength: 40 }),
      play,
    ),
    { numRuns: 120 },
  );
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IdempotencyRecord } from '../answer.ts';
import { type Claim, type ClaimStore, settleClaims } from '../claims/claim-store.ts';

/**
 * What every claim store must do.
 *
 * @param stores two views of the same store, like two processes have; called in each test
 * @param options.wakes false for a store whose waiters only poll
 */
export function claimStoreSuite(
  name: string,
  stores: () => [ClaimStore, ClaimStore],
  { wakes = true } = {},
): void {
  describe(name, () => {
    test('a free key is claimed by one of many who ask at once', async () => {
      const [one, two] = stores();
      const key = newKey();
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 ? one : two).claim(claimOf(key), leaseMs)),
      );
      assert.equal(results.filter((result) => result.state === 'claimed').length, 1);
      assert.equal(results.filter((result) => result.state === 'in-flight').length, 19);
    });

    test('claiming again with the same owner succeeds, with another one it does not', async () => {
      const [one, two] = stores();
      const claim = claimOf(newKey());
      assert.deepEqual(await one.claim(claim, leaseMs), { state: 'claimed' });
      assert.deepEqual(await one.claim(claim, leaseMs), { state: 'claimed' });
      assert.deepEqual(await two.claim({ ...claim }, leaseMs), { state: 'claimed' });
      const held = await two.claim({ ...claim, owner: newOwner() }, leaseMs);
      assert.ok(held.state === 'in-flight' && held.fingerprint === claim.fingerprint);
      assert.ok(held.leaseMs > 0 && held.leaseMs <= leaseMs);
    });

    test('claims of one tick are answered each for itself, across scopes', async () => {
      const [one, two] = stores();
      const claims = Array.from({ length: 300 }, (_, i) => ({
        ...claimOf(newKey()),
        scope: `scope-${i % 3}`,
      }));
      await Promise.all(claims.filter((_, i) => i % 2).map((claim) => two.claim(claim, leaseMs)));
      const results = await Promise.all(
        claims.map((claim) => one.claim({ ...claim, owner: newOwner() }, leaseMs)),
      );
      results.forEach((result, i) => {
        assert.equal(result.state, i % 2 ? 'in-flight' : 'claimed');
      });
    });

    test('claims of one tick have each their own lease', async () => {
      const [one, two] = stores();
      const claims = [20_000, 30_000, 30_000, 20_000].map((leaseMs) => ({
        claim: claimOf(newKey()),
        leaseMs,
      }));
      await Promise.all(claims.map(({ claim, leaseMs }) => one.claim(claim, leaseMs)));
      for (const { claim, leaseMs } of claims) {
        const held = await two.peek(claim.scope, claim.key);
        assert.ok(held?.state === 'in-flight');
        assert.ok(held.leaseMs <= leaseMs && held.leaseMs > leaseMs - 10_000, `${held.leaseMs}`);
      }
    });

    test('the same key in two scopes is two keys, whatever the scopes are called', async () => {
      const [one] = stores();
      const key = newKey();
      const scopes = ['', 'a', 'b', 'a}', '{a}', '%a', 'a}:b', '{', 'ä', 'a b', '%'];
      for (const scope of scopes) {
        const result = await one.claim({ ...claimOf(key), scope }, leaseMs);
        assert.equal(result.state, 'claimed', JSON.stringify(scope));
      }
      const split = await one.claim({ ...claimOf(`b}:${key}`), scope: 'a' }, leaseMs);
      assert.equal(split.state, 'claimed');
      assert.equal(
        (await one.claim({ ...claimOf(key), scope: 'a}:b' }, leaseMs)).state,
        'in-flight',
      );
    });

    test('a completed claim gives back the record, byte by byte', async () => {
      const [one, two] = stores();
      const claim = claimOf(newKey());
      await one.claim(claim, leaseMs);
      assert.equal(await one.complete(claim, record, 60_000), true);
      const completed = { state: 'completed', record };
      assert.deepEqual(await two.claim({ ...claim, owner: newOwner() }, leaseMs), completed);
      assert.deepEqual(await two.peek(claim.scope, claim.key), completed);
      assert.deepEqual(await one.claim(claim, leaseMs), completed, 'also to its own owner');
    });

    test('a completed record keeps its own expiry', async () => {
      const [one, two] = stores();
      const claim = claimOf(newKey());
      const expiring = { ...record, expiresAt: Date.now() + 3_600_000.25 };
      await one.claim(claim, leaseMs);
      await one.complete(claim, expiring, 60_000);
      assert.deepEqual(await two.peek(claim.scope, claim.key), {
        state: 'completed',
        record: expiring,
      });
    });

    test('a completed record cannot be completed, released or renewed again', async () => {
      const [one, two] = stores();
      const claim = claimOf(newKey());
      await one.claim(claim, leaseMs);
      await one.complete(claim, record, 60_000);
      const other = { ...record, answer: { ...record.answer, status: 500 } };
      assert.equal(await one.complete(claim, other, 60_000), false);
      assert.equal(await one.release(claim), false);
      assert.deepEqual(await one.renew([claim], leaseMs), [false]);
      assert.deepEqual(await two.peek(claim.scope, claim.key), { state: 'completed', record });
    });

    test('a released key is free', async () => {
      const [one, two] = stores();
      const claim = claimOf(newKey());
      await one.claim(claim, leaseMs);
      assert.equal(await one.release(claim), true);
      assert.equal(await two.peek(claim.scope, claim.key), undefined);
      assert.equal((await two.claim({ ...claim, owner: newOwner() }, leaseMs)).state, 'claimed');
    });

    test('who is not the owner changes nothing', async () => {
      const [one, two] = stores();
      const claim = claimOf(newKey());
      await one.claim(claim, leaseMs);
      const thief = { ...claim, owner: newOwner() };
      assert.equal(await two.complete(thief, record, 60_000), false);
      assert.equal(await two.release(thief), false);
      assert.deepEqual(await two.renew([thief], leaseMs), [false]);
      assert.equal((await one.peek(claim.scope, claim.key))?.state, 'in-flight');
      assert.equal(await one.complete(claim, record, 60_000), true);
    });

    test('a lapsed lease frees the key, and its owner can change nothing', async () => {
      const [one, two] = stores();
      const slow = claimOf(newKey());
      await one.claim(slow, 30);
      const next = { ...slow, owner: newOwner() };
      while ((await two.claim(next, leaseMs)).state !== 'claimed');
      assert.equal(await one.complete(slow, record, 60_000), false);
      assert.equal(await one.release(slow), false);
      assert.deepEqual(await one.renew([slow], leaseMs), [false]);
      assert.equal(await two.complete(next, record, 60_000), true);
    });

    test('a lapsed lease is lost also while nobody else took the key', async () => {
      const [one, two] = stores();
      const slow = claimOf(newKey());
      await one.claim(slow, 30);
      while (await two.peek(slow.scope, slow.key));
      assert.deepEqual(await one.renew([slow], leaseMs), [false]);
      assert.equal(await one.complete(slow, record, 60_000), false);
      assert.equal(await two.peek(slow.scope, slow.key), undefined);
    });

    test('a renewed lease outlives its first end', async () => {
      const [one, two] = stores();
      const [kept, lapsed] = [claimOf(newKey()), claimOf(newKey())];
      await Promise.all([one.claim(kept, 400), one.claim(lapsed, 400)]);
      assert.deepEqual(await one.renew([kept, claimOf(newKey())], leaseMs), [true, false]);
      while (await two.peek(lapsed.scope, lapsed.key));
      assert.equal((await two.peek(kept.scope, kept.key))?.state, 'in-flight');
    });

    test('a completed record ends after its time to live', async () => {
      const [one, two] = stores();
      const claim = claimOf(newKey());
      await one.claim(claim, leaseMs);
      await one.complete(claim, record, 30);
      while (await two.peek(claim.scope, claim.key));
      assert.equal((await two.claim({ ...claim, owner: newOwner() }, leaseMs)).state, 'claimed');
    });

    test('keys and answers may be as long and as binary as they come', async () => {
      const [one, two] = stores();
      const claim = claimOf(`${'~'.repeat(240)}${newKey()}`);
      const body = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) % 256));
      const headers = { 'content-type': 'x/y', location: '/ä"\\' };
      const large = { ...record, answer: { status: 599, headers, body } };
      await one.claim(claim, leaseMs);
      await one.complete(claim, large, 60_000);
      assert.deepEqual(await two.peek(claim.scope, claim.key), {
        state: 'completed',
        record: large,
      });
    });

    if (wakes) {
      test('a completion, a release and a settling wake who watches, once found in flight', async () => {
        const [one, two] = stores();
        for (const end of ['complete', 'release', 'settle'] as const) {
          const claim = claimOf(newKey());
          await one.claim(claim, leaseMs);
          await two.claim({ ...claim, owner: newOwner() }, leaseMs);
          const woken = Promise.withResolvers<void>();
          const stop = await two.watch(claim.scope, claim.key, woken.resolve);
          if (end === 'complete') await one.complete(claim, record, 60_000);
          else if (end === 'release') await one.release(claim);
          else await settleClaims(one, [claim]);
          await woken.promise;
          stop();
        }
      });

      test('many are settled at once, of several scopes, and only who is waited for wakes', async () => {
        const [one, two] = stores();
        const claims = Array.from({ length: 9_000 }, (_, i) => ({
          ...claimOf(newKey()),
          scope: i < 8_998 ? 'many' : 'few',
        }));
        // The first and the last, and one that nobody found in flight.
        const waited = [...claims.slice(0, 3), ...claims.slice(-3)];
        const alone = claims[3] as Claim;
        await Promise.all([...waited, alone].map((claim) => one.claim(claim, leaseMs)));
        await Promise.all(
          waited.map((claim) => two.claim({ ...claim, owner: newOwner() }, leaseMs)),
        );
        const woken: string[] = [];
        const all = Promise.withResolvers<void>();
        const stops = await Promise.all(
          [...waited, alone].map(({ scope, key }) =>
            two.watch(scope, key, () => {
              if (woken.push(key) >= waited.length) all.resolve();
            }),
          ),
        );
        await settleClaims(one, claims);
        await all.promise;
        for (const stop of stops) stop();
        const expected = one.settle ? waited : [...waited, alone];
        assert.deepEqual(woken.sort(), expected.map(({ key }) => key).sort());
      });
    }

    test('ping resolves', () => stores()[0].ping());
  });
}

/** A lease that does not lapse within a test. */
export const leaseMs = 60_000;

let count = 0;
export const newKey = () => `key-${process.pid}-${++count}`;
export const newOwner = () => String(++count).padStart(24, 'o');
export const claimOf = (key: string): Claim => ({
  scope: 'tenant',
  key,
  fingerprint: 'f'.repeat(64),
  owner: newOwner(),
});

export const record: IdempotencyRecord = {
  fingerprint: 'f'.repeat(64),
  answer: { status: 201, headers: { location: '/x' }, body: Buffer.from([0, 13, 10, 255, 34]) },
};

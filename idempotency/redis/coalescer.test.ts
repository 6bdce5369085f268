import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  Coalescer,
  type CoalescerOptions,
  chunkBytesMax,
  entriesMax,
  fewMax,
} from './coalescer.ts';

interface Item {
  scope: string;
  id: number;
  leaseMs?: number;
  bytes?: number;
}

/** What one flush sends, as the ids of each call; checks that each item gets its own reply. */
async function calls(items: Item[], bounds?: CoalescerOptions<Item>): Promise<number[][]> {
  const sent: number[][] = [];
  const send = async (chunk: readonly Item[]) => {
    const ids = chunk.map((item) => item.id);
    sent.push(ids);
    return ids;
  };
  const coalescer = new Coalescer<Item>(send, () => {}, bounds);
  const replies = Promise.all(items.map((item) => coalescer.add(item)));
  coalescer.flush();
  assert.deepEqual(
    await replies,
    items.map((item) => item.id),
  );
  return sent;
}

const numbered = (count: number) => Array.from({ length: count }, (_, id) => ({ scope: 's', id }));

test('what one tick brings is one call per scope, of so many entries at most', async () => {
  assert.deepEqual(await calls(numbered(3)), [[0, 1, 2]]);
  const sizes = (await calls(numbered(2 * entriesMax + 1))).map((ids) => ids.length);
  assert.deepEqual(sizes, [entriesMax, entriesMax, 1]);
  const scopes = await calls([0, 1, 2].map((id) => ({ scope: `s${id % 2}`, id })));
  assert.deepEqual(scopes, [[0, 2], [1]]);
});

test('a call ends where the next entry does not fit its first', async () => {
  const leases = [5, 5, 7, 7, 5].map((leaseMs, id) => ({ scope: 's', id, leaseMs }));
  const fits = (first: Item, item: Item) => first.leaseMs === item.leaseMs;
  assert.deepEqual(await calls(leases, { fits }), [[0, 1], [2, 3], [4]]);
});

test('a call ends before its values are too many bytes; a larger value goes alone', async () => {
  const sizes = [chunkBytesMax / 2, chunkBytesMax / 2, 1, chunkBytesMax * 3, 1, 1];
  const items = sizes.map((bytes, id) => ({ scope: 's', id, bytes }));
  const bytes = (item: Item) => item.bytes ?? 0;
  assert.deepEqual(await calls(items, { bytes }), [[0, 1], [2], [3], [4, 5]]);
});

test('few of a scope are sent one by one, more of them together', async () => {
  const alone: number[] = [];
  const one = async ({ id }: Item) => {
    alone.push(id);
    return id;
  };
  const few = numbered(fewMax);
  const others = numbered(fewMax + 1).map((item) => ({ scope: 'other', id: 100 + item.id }));
  assert.deepEqual(await calls([...few, ...others], { one }), [others.map(({ id }) => id)]);
  assert.deepEqual(
    alone,
    few.map(({ id }) => id),
  );
});

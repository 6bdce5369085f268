import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Board } from '../memory/board.ts';
import { explore } from './explore.ts';
import type { BoardClass, Wish } from './scenario.ts';

const exclusive: Wish[] = [
  { keys: ['a', 'b'], mode: 'exclusive', rounds: 2 },
  { keys: ['a'], mode: 'exclusive', rounds: 1 },
  { keys: ['a', 'b'], mode: 'exclusive', rounds: 1 },
];
const mixed: Wish[] = [
  { keys: ['a', 'b'], mode: 'exclusive', rounds: 2 },
  { keys: ['a'], mode: 'shared', rounds: 1 },
  { keys: ['a', 'b'], mode: 'shared', rounds: 1 },
];
/** 9 visits 20,000 states a test in some seconds; `ONHAND_MODEL_DEPTH=13` visits 60,000. */
const depthMax = Number(process.env.ONHAND_MODEL_DEPTH ?? 9);

test('3 exclusive clients, 2 keys, 2 faults: exclusion, order, progress in every state', () => {
  const states = explore({ board: Board, wishes: exclusive, faults: 2, depthMax });
  assert.ok(states > 15_000, `${states} states`);
});

test('a writer and 2 readers, 2 keys, 2 faults: exclusion, order, progress in every state', () => {
  const states = explore({ board: Board, wishes: mixed, faults: 2, depthMax });
  assert.ok(states > 15_000, `${states} states`);
});

/** Bugs put into the protocol, each by changing one place of its text. */
const bugs: readonly { name: string; from: string; to: string; found: RegExp }[] = [
  {
    name: 'a claim does not look at who holds',
    from: 'return Math.max(1, Math.max(...held.until.values()) - this.#world.now());',
    to: 'continue;',
    found: /two holders/,
  },
  {
    name: 'owners are not compared',
    from: 'held?.mode === mode && held.until.has(owner)',
    to: 'held?.mode === mode',
    found: /passed|two holders/,
  },
  {
    name: 'a newcomer passes those who wait',
    from: 'if (this.#listener(ticket)) return true;',
    to: '',
    found: /passed/,
  },
  {
    name: 'a release serves nobody',
    from: '    this.#sweep(keys);\n    return mine.length;',
    to: '    return mine.length;',
    found: /no progress/,
  },
  {
    name: 'a waiter that died keeps its place for ever',
    from: '({ aliveUntil }) => aliveUntil >= this.#world.now()',
    to: '() => true',
    found: /is dead and served/,
  },
  {
    name: 'a grant leaves the ticket in the queue',
    from: '!has && this.#inTheWay(ticket) === undefined) {\n          this.#quit(owner, call.sending);',
    to: 'this.#inTheWay(ticket) === undefined) {',
    found: /is below/,
  },
  {
    name: 'tokens do not rise',
    from: 'this.#token = Math.max(this.#token + 1, this.#world.clockToken());',
    to: 'this.#token = 1_000_000 - this.#seed++;',
    found: /is below/,
  },
];

for (const bug of bugs) {
  test(`the model check finds it when ${bug.name}`, async () => {
    const board = await withBug(bug.from, bug.to);
    assert.throws(() => {
      explore({ board, wishes: exclusive, faults: 1, depthMax });
      explore({ board, wishes: mixed, faults: 1, depthMax });
    }, bug.found);
  });
}

async function withBug(from: string, to: string): Promise<BoardClass> {
  const source = await readFile(new URL('../memory/board.ts', import.meta.url), 'utf8');
  assert.equal(source.split(from).length, 2, 'the place of the bug is in the text once');
  const folder = await mkdtemp(join(tmpdir(), 'onhand-bug-'));
  try {
    const file = join(folder, 'board.ts');
    await writeFile(
      file,
      source.replace(from, to).replace('#token = 0;', '#token = 0;\n  #seed = 0;'),
    );
    return (await import(pathToFileURL(file).href)).Board;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
